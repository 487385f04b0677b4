//! TFLite metadata: what people say about a model, so that others can feed it and read its answers.
//!
//! The tables of the public schema (`metadata_schema.fbs`, identifier `M001`), a FlatBuffer of its
//! own inside the buffer that the model names `TFLITE_METADATA`. The label files it names travel in
//! a zip behind the model: see `pack.rs`.

enums! {
    /// What a packed file is for.
    AssociatedFileType: i8 {
        UNKNOWN = 0, DESCRIPTIONS = 1, TENSOR_AXIS_LABELS = 2, TENSOR_VALUE_LABELS = 3,
        TENSOR_AXIS_SCORE_CALIBRATION = 4, VOCABULARY = 5, SCANN_INDEX_FILE = 6,
    }
    /// The colours of an image.
    ColorSpaceType: i8 { UNKNOWN = 0, RGB = 1, GRAYSCALE = 2 }
    /// What the four numbers of a box are.
    BoundingBoxType: i8 { UNKNOWN = 0, BOUNDARIES = 1, UPPER_LEFT = 2, CENTER = 3 }
    /// What a box is measured in.
    CoordinateType: i8 { RATIO = 0, PIXEL = 1 }
    /// What is done to a score before it is calibrated.
    ScoreTransformationType: i8 { IDENTITY = 0, LOG = 1, INVERSE_LOGISTIC = 2 }
}

tables! {
    /// Everything about a model.
    ModelMetadata {
        /// The model's name.
        [0] name: String = String::new(),
        /// What it does.
        [1] description: String = String::new(),
        /// Its version, in its makers' numbering.
        [2] version: String = String::new(),
        /// One per subgraph that is described, the main one first.
        [3] subgraph_metadata: Vec<SubGraphMetadata> = vec![],
        /// Who made it.
        [4] author: String = String::new(),
        /// Terms of use.
        [5] license: String = String::new(),
        /// Packed files about the whole model.
        [6] associated_files: Vec<AssociatedFile> = vec![],
        /// Oldest version of the schema that understands all of this.
        [7] min_parser_version: String = String::new(),
    }

    /// About a subgraph.
    SubGraphMetadata {
        /// Its name.
        [0] name: String = String::new(),
        /// What it does.
        [1] description: String = String::new(),
        /// One per input of the subgraph, in its order.
        [2] input_tensor_metadata: Vec<TensorMetadata> = vec![],
        /// One per output of the subgraph, in its order.
        [3] output_tensor_metadata: Vec<TensorMetadata> = vec![],
        /// Packed files about it.
        [4] associated_files: Vec<AssociatedFile> = vec![],
        /// What is done before it runs.
        [5] input_process_units: Vec<ProcessUnit> = vec![],
        /// What is done after it ran.
        [6] output_process_units: Vec<ProcessUnit> = vec![],
        /// Anything else, by name.
        [7] custom_metadata: Vec<CustomMetadata> = vec![],
    }

    /// Named bytes.
    CustomMetadata {
        /// The name.
        [0] name: String = String::new(),
        /// The bytes.
        [1] data: Vec<u8> = vec![],
    }

    /// About an input or output.
    TensorMetadata {
        /// Its name.
        [0] name: String = String::new(),
        /// What it holds.
        [1] description: String = String::new(),
        /// A name per dimension.
        [2] dimension_names: Vec<String> = vec![],
        /// What kind of thing it holds.
        [3] content: Option<Content> = None,
        /// What is done to it outside the model, in order.
        [4] process_units: Vec<ProcessUnit> = vec![],
        /// The range of its values.
        [5] stats: Option<Stats> = None,
        /// Packed files about it, labels for one.
        [6] associated_files: Vec<AssociatedFile> = vec![],
    }

    /// A file packed behind the model.
    AssociatedFile {
        /// Its name in the zip.
        [0] name: String = String::new(),
        /// What it holds.
        [1] description: String = String::new(),
        /// What it is for.
        [2] r#type: AssociatedFileType = AssociatedFileType::UNKNOWN,
        /// Its language, `en` or `en-US`.
        [3] locale: String = String::new(),
        /// Its version.
        [4] version: String = String::new(),
    }

    /// What kind of thing a tensor holds.
    Content {
        /// The kind.
        [0] content_properties: ContentProperties = ContentProperties::None,
        /// The dimensions it takes; all but the batch if absent.
        [2] range: Option<ValueRange> = None,
    }

    /// A range, both ends included.
    ValueRange {
        /// First.
        [0] min: i32 = 0,
        /// Last.
        [1] max: i32 = 0,
    }

    /// Numbers.
    FeatureProperties {}

    /// An image.
    ImageProperties {
        /// Its colours.
        [0] color_space: ColorSpaceType = ColorSpaceType::UNKNOWN,
        /// Its size where the tensor's shape does not say.
        [1] default_size: Option<ImageSize> = None,
    }

    /// Width and height, in pixels.
    ImageSize {
        /// Pixels across.
        [0] width: u32 = 0,
        /// Pixels down.
        [1] height: u32 = 0,
    }

    /// Boxes.
    BoundingBoxProperties {
        /// Order of the four numbers.
        [0] index: Vec<u32> = vec![],
        /// What they are.
        [1] r#type: BoundingBoxType = BoundingBoxType::UNKNOWN,
        /// What they are measured in.
        [2] coordinate_type: CoordinateType = CoordinateType::RATIO,
    }

    /// Sound.
    AudioProperties {
        /// Samples per second.
        [0] sample_rate: u32 = 0,
        /// Channels.
        [1] channels: u32 = 0,
    }

    /// A step outside the model.
    ProcessUnit { /// What it does.
        [0] options: ProcessUnitOptions = ProcessUnitOptions::None }

    /// `(x - mean) / std` on values in 0..=255, one pair or one per channel. Quantised models state
    /// what their float original wants.
    NormalizationOptions {
        /// Subtracted.
        [0] mean: Vec<f32> = vec![],
        /// Divided by.
        [1] std: Vec<f32> = vec![],
    }

    /// Makes scores of classes comparable.
    ScoreCalibrationOptions {
        /// Done first.
        [0] score_transformation: ScoreTransformationType = ScoreTransformationType::IDENTITY,
        /// Score of classes without parameters.
        [1] default_score: f32 = 0.0,
    }

    /// Drops low scores.
    ScoreThresholdingOptions { /// The lowest score kept.
        [0] global_score_threshold: f32 = 0.0 }

    /// Cuts text into words.
    BertTokenizerOptions { /// The words.
        [0] vocab_file: Vec<AssociatedFile> = vec![] }

    /// Cuts text into pieces.
    SentencePieceTokenizerOptions {
        /// The pieces.
        [0] sentence_piece_model: Vec<AssociatedFile> = vec![],
        /// Their numbers.
        [1] vocab_file: Vec<AssociatedFile> = vec![],
    }

    /// Cuts text at a pattern.
    RegexTokenizerOptions {
        /// The pattern.
        [0] delim_regex_pattern: String = String::new(),
        /// The words.
        [1] vocab_file: Vec<AssociatedFile> = vec![],
    }

    /// The range of a tensor's values, for all or per channel.
    Stats {
        /// Largest.
        [0] max: Vec<f32> = vec![],
        /// Smallest.
        [1] min: Vec<f32> = vec![],
    }
}

unions! {
    /// What kind of thing a tensor holds.
    ContentProperties {
        Feature(FeatureProperties) = 1,
        Image(ImageProperties) = 2,
        BoundingBox(BoundingBoxProperties) = 3,
        Audio(AudioProperties) = 4,
    }
    /// What a step outside the model does.
    ProcessUnitOptions {
        Normalization(NormalizationOptions) = 1,
        ScoreCalibration(ScoreCalibrationOptions) = 2,
        ScoreThresholding(ScoreThresholdingOptions) = 3,
        BertTokenizer(BertTokenizerOptions) = 4,
        SentencePieceTokenizer(SentencePieceTokenizerOptions) = 5,
        RegexTokenizer(RegexTokenizerOptions) = 6,
    }
}
