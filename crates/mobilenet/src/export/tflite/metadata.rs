//! What the file says of itself, in the schema that MediaPipe and Android's task library read.

use mobilenet_formats::tflite::{
    AssociatedFile, AssociatedFileType, ColorSpaceType, Content, ContentProperties,
    FeatureProperties, ImageProperties, ModelMetadata, NormalizationOptions, ProcessUnit,
    ProcessUnitOptions, Stats, SubGraphMetadata, TensorMetadata,
};

use super::TfliteOptions;
use crate::normalization::Normalization;

/// The name of the label file in the zip behind the model.
pub(super) const LABELS: &str = "labels.txt";

/// Oldest parser that understands what is written here.
const PARSER: &str = "1.0.0";

/// What is said of a model that takes pixels so normalised.
pub(super) fn of(options: &TfliteOptions<'_>, normalization: Normalization) -> ModelMetadata {
    let graph = SubGraphMetadata {
        input_tensor_metadata: vec![input(normalization)],
        output_tensor_metadata: vec![output(options)],
        ..SubGraphMetadata::default()
    };
    ModelMetadata {
        name: options.name.to_owned(),
        description: options.description.to_owned(),
        subgraph_metadata: vec![graph],
        min_parser_version: PARSER.to_owned(),
        ..ModelMetadata::default()
    }
}

fn input(normalization: Normalization) -> TensorMetadata {
    let (mean, deviation) = (normalization.mean(), normalization.deviation());
    let unit = ProcessUnit {
        options: ProcessUnitOptions::Normalization(NormalizationOptions {
            mean: mean.to_vec(),
            std: deviation.to_vec(),
        }),
    };
    let at = |pixel: f32| [0, 1, 2].map(|c: usize| (pixel - mean[c]) / deviation[c]).to_vec();
    TensorMetadata {
        name: "image".into(),
        description: "The image to be classified, RGB.".into(),
        content: Some(Content {
            content_properties: ContentProperties::Image(ImageProperties {
                color_space: ColorSpaceType::RGB,
                default_size: None,
            }),
            range: None,
        }),
        process_units: vec![unit],
        stats: Some(Stats { max: at(255.0), min: at(0.0) }),
        ..TensorMetadata::default()
    }
}

fn output(options: &TfliteOptions<'_>) -> TensorMetadata {
    let labels = options.labels.map(|_| AssociatedFile {
        name: LABELS.to_owned(),
        description: "The names of the classes, in the order of the scores.".into(),
        r#type: AssociatedFileType::TENSOR_AXIS_LABELS,
        ..AssociatedFile::default()
    });
    let (name, description) = match options.labels {
        Some(_) => ("probability", "The probability of each class."),
        None => ("feature_vector", "A vector that stands for the image."),
    };
    TensorMetadata {
        name: name.into(),
        description: description.into(),
        content: Some(Content {
            content_properties: ContentProperties::Feature(FeatureProperties {}),
            range: None,
        }),
        associated_files: labels.into_iter().collect(),
        ..TensorMetadata::default()
    }
}
