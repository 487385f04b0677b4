//! [`Module`]: a loaded model that can be called. It holds the graph, reads weights when they are
//! needed, and keeps the plans that were compiled for the ways it was called.

use std::borrow::Borrow;
use std::collections::BTreeMap;
use std::sync::{Arc, OnceLock};

use mobilenet_engine::{Plan, PlanOptions, Tuning};
use mobilenet_formats::tensorflow::HubModule;
use mobilenet_formats::{DType, FileSource, Limits, Tensor};
use mobilenet_hub::ModuleDir;
use mobilenet_kernels::{Isa, Pool, Precision};
use mobilenet_vision::{Image, Labels};

use crate::error::{Error, ErrorKind, Result};
use crate::options::ModuleOptions;
use crate::plans::{Key, Plans};
use crate::preprocessing::Preprocessing;
use crate::range;
use crate::runner::Runner;
use crate::signature::{DisplayShape, Port, Scores, Signature};
use crate::source::{Source, Wanted};
use crate::tuning::TuningFile;

/// What runs when no module is named: the one compiled in, of 200 everyday things and animals.
pub const DEFAULT_HANDLE: &str = "embedded:default";

/// MobileNet V1 0.25 for 192x192 pixels and ImageNet's classes, by the address of its page on
/// TensorFlow Hub.
pub const PUBLISHED_HANDLE: &str =
    "https://tfhub.dev/google/imagenet/mobilenet_v1_025_192/classification/1";

/// A TensorFlow Hub module, loaded. Cheap to clone, safe to share between threads.
///
/// ```no_run
/// use mobilenet::{Module, Tensor};
///
/// let module = Module::load("mobilenet_v1_025_192/classification/1.tar.gz")?;
/// let (height, width) = module.expected_image_size()?;
/// let images = Tensor::new([1, height, width, 3], vec![0.5; height * width * 3])?;
/// let logits = module.call(&images)?;
/// assert_eq!(logits.shape(), [1, 1001]);
///
/// let outputs = module.call_signature("image_feature_vector", [("images", &images)])?;
/// let third_block = &outputs["MobilenetV1/Conv2d_3_pointwise"];
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug)]
pub struct Module(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    files: ModuleDir,
    tags: Vec<String>,
    source: Source,
    isa: Isa,
    precision: Precision,
    max_arena_bytes: usize,
    threads: usize,
    pool: OnceLock<Arc<Pool>>,
    plans: Plans,
    /// Where measured kernels are noted, and what is noted there.
    tuning: (Option<TuningFile>, OnceLock<Arc<Tuning>>),
}

/// Which outputs of which signature to compute, for images of which size.
#[derive(Clone, Debug, PartialEq)]
pub struct Request {
    signature: String,
    outputs: Vec<String>,
    images: [usize; 3],
    bytes: bool,
}

impl Request {
    /// The output `default` of a signature, for one image of the module's size.
    pub fn new(signature: impl Into<String>) -> Self {
        Request {
            signature: signature.into(),
            outputs: vec!["default".into()],
            images: [1, 0, 0],
            bytes: false,
        }
    }

    /// Other outputs, in this order.
    #[must_use]
    pub fn outputs<I: IntoIterator<Item: Into<String>>>(mut self, keys: I) -> Self {
        self.outputs = keys.into_iter().map(Into::into).collect();
        self
    }

    /// `count` images of `(height, width)` pixels at a time.
    #[must_use]
    pub fn images(mut self, count: usize, (height, width): (usize, usize)) -> Self {
        self.images = [count, height, width];
        self
    }

    /// Images of bytes, 0 to 255, in [`Runner::bytes_mut`]: the same results as with each of them
    /// times [`Image::STEP`](crate::Image::STEP), without an image of floats in memory.
    #[must_use]
    pub fn bytes(mut self) -> Self {
        self.bytes = true;
        self
    }
}

impl Module {
    /// Finds the module, fetches it if needed, and reads its signatures; graph and weights are read
    /// when used.
    ///
    /// `handle`: a URL, a folder, an archive, or a file of any format this crate reads.
    ///
    /// # Errors
    /// If the handle leads to no module, or to one that cannot be read.
    pub fn load(handle: &str) -> Result<Module> {
        Module::options().load(handle)
    }

    /// To choose tags, instruction set, threads, cache folder and more before loading.
    pub fn options() -> ModuleOptions {
        ModuleOptions::default()
    }

    pub(crate) fn read(files: ModuleDir, limits: &Limits, options: &ModuleOptions) -> Result<Self> {
        let source = Source::read(&Wanted {
            files: &files,
            tags: &options.tags,
            limits,
            normalization: options.normalization,
            labels: options.labels.as_ref(),
            moving_averages: options.moving_averages,
        })?;
        let cores = || std::thread::available_parallelism().map_or(1, usize::from);
        let module = Module(Arc::new(Inner {
            files,
            tags: options.tags.clone(),
            source,
            isa: options.isa.unwrap_or_else(Isa::detect),
            precision: options.precision,
            max_arena_bytes: options
                .max_arena_bytes
                .unwrap_or_else(|| PlanOptions::default().max_arena_bytes),
            threads: options.threads.unwrap_or_else(cores),
            pool: OnceLock::new(),
            plans: Plans::default(),
            tuning: (options.tuning.clone(), OnceLock::new()),
        }));
        options.labels.as_ref().map_or(Ok(()), |labels| module.check_given(labels))?;
        Ok(module)
    }

    /// Refuses names that were given for classes the module does not have. Where its file does not
    /// say how many there are, who asks for [`Self::labels`] hears of it.
    fn check_given(&self, labels: &Labels) -> Result<()> {
        if !self.classifies() {
            let message = "labels are given, but the module gives feature vectors and no classes";
            return Err(Error::new(ErrorKind::Labels, message));
        }
        let name = self.classification_signature().ok();
        let output = name.and_then(|name| self.signature(name).ok()?.output("default"));
        match output.and_then(|port| port.shape.as_deref()?.last().copied()?) {
            Some(classes) => Ok(labels.check_count(classes)?),
            None => Ok(()),
        }
    }

    /// The handle it was loaded from.
    pub fn handle(&self) -> &str {
        self.0.files.handle().as_str()
    }

    /// Its files.
    pub fn files(&self) -> &ModuleDir {
        &self.0.files
    }

    /// The tags of the graph in use.
    pub fn tags(&self) -> &[String] {
        &self.0.tags
    }

    /// Every set of tags the module has a graph for.
    pub fn tag_sets(&self) -> &[Vec<String>] {
        &self.0.source.tag_sets
    }

    /// The graph in use, read whole the first time it is asked for.
    ///
    /// # Errors
    /// If the file's graph is damaged, also where no signature uses it.
    pub fn graph(&self) -> Result<&mobilenet_engine::Graph> {
        self.0.source.graphs.whole()
    }

    /// The module as its files describe it, to change and write back; `None` for other formats.
    pub fn hub_module(&self) -> Option<&HubModule> {
        self.0.source.hub_module.as_deref()
    }

    /// What kind of file it was loaded from, such as `SavedModel`.
    pub fn format(&self) -> &'static str {
        self.0.source.format
    }

    /// What `image_classification` answers.
    pub fn scores(&self) -> Scores {
        self.0.source.scores
    }

    /// The instruction set in use.
    pub fn isa(&self) -> Isa {
        self.0.isa
    }

    /// The precision in use.
    pub fn precision(&self) -> Precision {
        self.0.precision
    }

    /// The number of threads in use.
    pub fn threads(&self) -> usize {
        self.0.threads
    }

    /// Name and shape of every variable.
    pub fn variables(&self) -> Vec<(String, Vec<usize>)> {
        self.0.source.weights.list()
    }

    /// The value of a variable.
    ///
    /// # Errors
    /// If there is none of that name, or its checksum does not match.
    pub fn variable(&self, name: &str) -> Result<Arc<Tensor>> {
        self.0.source.weights.read(name)
    }

    /// Every signature, sorted by name.
    pub fn signatures(&self) -> &[Signature] {
        &self.0.source.signatures
    }

    /// The signature called `name`.
    ///
    /// # Errors
    /// [`ErrorKind::NotFound`] with the names there are.
    pub fn signature(&self, name: &str) -> Result<&Signature> {
        let all = self.signatures();
        all.iter().find(|signature| signature.name == name).ok_or_else(|| {
            missing("signature", name, all.iter().map(|signature| signature.name.as_str()))
        })
    }

    fn first_of(&self, names: &[&str]) -> Result<&str> {
        let all = self.signatures();
        let known = |name: &&&str| all.iter().any(|signature| signature.name == **name);
        names.iter().find(known).copied().map_or_else(
            || self.only_signature(names),
            |name| Ok(self.signature(name)?.name.as_str()),
        )
    }

    fn only_signature(&self, names: &[&str]) -> Result<&str> {
        match self.signatures() {
            [only] => Ok(&only.name),
            all => {
                let wanted = names.join("` or `");
                Err(missing("signature", &wanted, all.iter().map(|s| s.name.as_str())))
            }
        }
    }

    /// The name of the signature that gives logits.
    ///
    /// # Errors
    /// [`ErrorKind::NotFound`] if there is none.
    pub fn classification_signature(&self) -> Result<&str> {
        self.first_of(&["image_classification", "default"])
    }

    /// Whether it tells classes: it says so, or does not say that it gives feature vectors.
    pub fn classifies(&self) -> bool {
        self.signature("image_classification").is_ok()
            || self.signature("image_feature_vector").is_err()
    }

    /// The name of the signature that gives feature vectors.
    ///
    /// # Errors
    /// [`ErrorKind::NotFound`] if there is none.
    pub fn feature_signature(&self) -> Result<&str> {
        self.first_of(&["image_feature_vector", "default"])
    }

    /// The name of the signature that says most: logits if the module has them, else features.
    ///
    /// # Errors
    /// [`ErrorKind::NotFound`] if it has neither.
    pub fn first_signature(&self) -> Result<&str> {
        self.first_of(&["image_classification", "image_feature_vector", "default"])
    }

    /// `(height, width)` of the images the module wants, in pixels: what its file says, else the
    /// shape of the default signature's input.
    ///
    /// # Errors
    /// [`ErrorKind::NotFound`] if neither says a size.
    pub fn expected_image_size(&self) -> Result<(usize, usize)> {
        let declared = || {
            let signature =
                self.signature(self.first_of(&["default", "image_feature_vector"]).ok()?);
            match images_port(signature.ok()?)?.shape.as_deref()? {
                [_, Some(height), Some(width), _] => Some((*height, *width)),
                _ => None,
            }
        };
        self.0.source.image_size.or_else(declared).ok_or_else(|| {
            Error::new(ErrorKind::NotFound, "the module does not say what size of images it wants")
        })
    }

    /// How photos become its input: as the module's own record says, else TensorFlow Hub's
    /// convention.
    ///
    /// # Errors
    /// If the module does not say what size it wants, or its record is damaged.
    pub fn preprocessing(&self) -> Result<Preprocessing> {
        let path = Preprocessing::RECORD;
        let failed = |e| Error::because(ErrorKind::Io, format!("cannot read {path}"), e);
        if let Some(bytes) = self.0.files.read(path).map_err(failed)? {
            return Preprocessing::from_record(&bytes).ok_or_else(|| {
                let message = format!("{path} names no crop, resize and size known here");
                Error::new(ErrorKind::Format, message)
            });
        }
        let (height, width) = self.expected_image_size()?;
        Ok(Preprocessing::hub_convention(height, width))
    }

    /// The names of its `classes` classes: its [own](Self::own_labels), or ImageNet's for 1001 and 1000.
    ///
    /// # Errors
    /// [`ErrorKind::Labels`] if the module has no names and their number is not ImageNet's, or if
    /// it has names that do not fit.
    pub fn labels(&self, classes: usize) -> Result<Labels> {
        let labels = match (self.own_labels()?, classes) {
            (Some(own), _) => own,
            (None, 1001) => Labels::imagenet(),
            (None, 1000) => Labels::imagenet_without_background(),
            (None, _) => {
                let message = format!(
                    "the module has {classes} classes and no names for them; give labels (--labels, or \
                     ModuleOptions::labels)"
                );
                return Err(Error::new(ErrorKind::Labels, message));
            }
        };
        labels.check_count(classes)?;
        Ok(labels)
    }

    /// What the file does not say and was assumed, and which of its tensors answer: sentences for
    /// people. Empty for hub modules, which say everything.
    pub fn notes(&self) -> &[String] {
        &self.0.source.notes
    }

    /// The names that were given when it was loaded, else those in the module's own file, if it has
    /// any.
    ///
    /// # Errors
    /// [`ErrorKind::Labels`] if the file cannot be used.
    pub fn own_labels(&self) -> Result<Option<Labels>> {
        if let Some(labels) = &self.0.source.labels {
            return Ok(Some(labels.clone()));
        }
        let files = &self.0.files;
        let Some(path) = self.label_file() else { return Ok(None) };
        let failed = |e| Error::because(ErrorKind::Io, format!("cannot read {path}"), e);
        match files.read(&path).map_err(failed)? {
            Some(bytes) => Ok(Some(Labels::parse(&bytes)?)),
            None => Ok(None),
        }
    }

    /// The path of the label file among its files, if it has one.
    pub(crate) fn label_file(&self) -> Option<String> {
        label_file(self.0.files.paths())
    }

    /// The names that were given, or that its file holds elsewhere than among a hub module's assets.
    pub(crate) fn labels_apart(&self) -> Option<&Labels> {
        self.0.source.labels.as_ref()
    }

    /// The output `default` of the signature `default` for `images`, `[n, h, w, 3]`: `float32` in
    /// [0, 1], or `uint8` from 0 to 255, which is the same. For a classification module that is
    /// `[n, classes]` logits.
    ///
    /// # Errors
    /// [`ErrorKind::Input`] if the tensor does not fit, or its values are far outside [0, 1].
    pub fn call(&self, images: &Tensor) -> Result<Tensor> {
        self.call_request(&Request::new("default"), images)
    }

    /// Every output of a signature, by key.
    ///
    /// `inputs`: tensors by key, images as for [`Self::call`]; those with a default value may be
    /// left out.
    ///
    /// # Errors
    /// [`ErrorKind::NotFound`] for a signature or input that the module does not have,
    /// [`ErrorKind::Input`] for a tensor that does not fit.
    pub fn call_signature<K, V, I>(&self, name: &str, inputs: I) -> Result<BTreeMap<String, Tensor>>
    where
        K: AsRef<str>,
        V: Borrow<Tensor>,
        I: IntoIterator<Item = (K, V)>,
    {
        let signature = self.signature(name)?;
        let keys: Vec<&str> = signature.outputs.iter().map(|port| port.key.as_str()).collect();
        let inputs: Vec<(K, V)> = inputs.into_iter().collect();
        let pairs = inputs.iter().map(|(key, tensor)| (key.as_ref(), tensor.borrow()));
        let outputs = self.compute(signature, &keys, &pairs.collect::<Vec<_>>())?;
        Ok(keys.into_iter().map(str::to_owned).zip(outputs).collect())
    }

    /// The first output of `request` for `images`; the request's own image size is ignored.
    pub(crate) fn call_request(&self, request: &Request, images: &Tensor) -> Result<Tensor> {
        let signature = self.signature(&request.signature)?;
        let port = require_images(signature)?;
        let keys: Vec<&str> = request.outputs.iter().map(String::as_str).collect();
        let outputs = self.compute(signature, &keys, &[(port.key.as_str(), images)])?;
        outputs.into_iter().next().ok_or_else(|| {
            Error::new(ErrorKind::NotFound, format!("signature `{}` gives nothing", signature.name))
        })
    }

    fn compute(
        &self,
        signature: &Signature,
        outputs: &[&str],
        inputs: &[(&str, &Tensor)],
    ) -> Result<Vec<Tensor>> {
        let mut ports = Vec::with_capacity(inputs.len());
        for (key, tensor) in inputs {
            let port = input_port(signature, key)?;
            check(port, tensor)?;
            ports.push((port, tensor.dtype(), tensor.shape()));
        }
        let prepared =
            self.0.plans.get(&Key::new(signature, outputs, &ports)?, |key| self.compile(key))?;
        let tensors: Vec<&Tensor> = inputs.iter().map(|(_, tensor)| *tensor).collect();
        prepared.call(self.pool(), &tensors)
    }

    /// A runner of `request` that belongs to one thread and has its own memory.
    ///
    /// # Errors
    /// [`ErrorKind::NotFound`] for a signature or output that the module does not have,
    /// [`ErrorKind::Input`] for an image size that does not fit.
    pub fn runner(&self, request: &Request) -> Result<Runner> {
        self.runner_on(request, Arc::new(Pool::single()))
    }

    /// As [`Self::runner`], using all threads of the module for each run.
    ///
    /// # Errors
    /// As [`Self::runner`].
    pub fn parallel_runner(&self, request: &Request) -> Result<Runner> {
        self.runner_on(request, Arc::clone(self.pool()))
    }

    fn runner_on(&self, request: &Request, pool: Arc<Pool>) -> Result<Runner> {
        let (plan, shape) = self.plan(request)?;
        Runner::new(plan, pool, shape)
    }

    /// The plan of `request`, and the shape of its images.
    pub(crate) fn plan(&self, request: &Request) -> Result<(Arc<Plan>, [usize; 4])> {
        let (key, shape) = self.key(request)?;
        let prepared = self.0.plans.get(&key, |key| self.compile(key))?;
        Ok((prepared.plan(), shape))
    }

    /// What `request` computes from what, and the shape of its images.
    fn key(&self, request: &Request) -> Result<(Key, [usize; 4])> {
        let signature = self.signature(&request.signature)?;
        let port = require_images(signature)?;
        let (height, width) = match request.images {
            [_, 0, _] | [_, _, 0] => self.expected_image_size()?,
            [_, height, width] => (height, width),
        };
        let shape = [request.images[0].max(1), height, width, 3];
        check_shape(port, &shape)?;
        let dtype = if request.bytes { DType::U8 } else { port.dtype };
        check_dtype(port, dtype)?;
        let outputs: Vec<&str> = request.outputs.iter().map(String::as_str).collect();
        Ok((Key::new(signature, &outputs, &[(port, dtype, &shape)])?, shape))
    }

    fn pool(&self) -> &Arc<Pool> {
        self.0.pool.get_or_init(|| Arc::new(Pool::new(self.0.threads)))
    }

    /// The kernels that were measured on this CPU, if any were.
    pub(crate) fn tuning(&self) -> Option<Arc<Tuning>> {
        let (file, tuning) = &self.0.tuning;
        let tuning = tuning
            .get_or_init(|| Arc::new(file.as_ref().map_or_else(Tuning::default, TuningFile::load)));
        (!tuning.is_empty()).then(|| Arc::clone(tuning))
    }

    /// A plan of its own for `request`, with these kernels.
    pub(crate) fn compile_with(
        &self,
        request: &Request,
        tuning: Option<Arc<Tuning>>,
    ) -> Result<Arc<Plan>> {
        let (key, _) = self.key(request)?;
        Ok(Arc::new(self.compile_tuned(&key, tuning)??))
    }

    fn compile(&self, key: &Key) -> Result<mobilenet_engine::Result<Plan>> {
        self.compile_tuned(key, self.tuning())
    }

    /// A plan of the part of the graph that it needs; the outer error is the graph's.
    fn compile_tuned(
        &self,
        key: &Key,
        tuning: Option<Arc<Tuning>>,
    ) -> Result<mobilenet_engine::Result<Plan>> {
        let inputs: Vec<_> = key.inputs.iter().map(|(n, s)| (n.as_str(), s.clone())).collect();
        let outputs: Vec<_> = key.outputs.iter().map(String::as_str).collect();
        let ends: Vec<_> = inputs.iter().map(|(name, _)| *name).chain(outputs.clone()).collect();
        let graph = self.0.source.graphs.part(&ends)?;
        let bytes = key.bytes.iter().map(|name| (name.clone(), Image::STEP));
        let options = PlanOptions {
            isa: self.0.isa,
            bytes: bytes.collect(),
            precision: self.0.precision,
            max_arena_bytes: self.0.max_arena_bytes,
            threads: self.0.threads,
            tuning,
            ..PlanOptions::default()
        };
        Ok(self.compile_graph(&graph, &inputs, &outputs, &options))
    }

    /// A plan of `graph`, which may be more than the module's own, with the module's weights.
    pub(crate) fn compile_graph(
        &self,
        graph: &mobilenet_engine::Graph,
        inputs: &[(&str, mobilenet_engine::Shape)],
        outputs: &[&str],
        options: &PlanOptions,
    ) -> mobilenet_engine::Result<Plan> {
        Plan::compile(graph, &|name| self.value(name), inputs, outputs, options)
    }

    /// The graph from a tensor of images to one of outputs, without variables and training.
    pub(crate) fn frozen(
        &self,
        (images, shape): (&str, mobilenet_engine::Shape),
        output: &str,
    ) -> Result<mobilenet_engine::Graph> {
        let variables = |name: &str| self.value(name);
        let inputs = [(images, shape)];
        Ok(mobilenet_engine::freeze(self.graph()?, &variables, &inputs, &[output])?)
    }

    /// A variable, as the engine asks for it.
    fn value(&self, name: &str) -> mobilenet_engine::Result<Arc<Tensor>> {
        let failed = |error: Error| {
            let message = format!("variable `{name}` cannot be read");
            mobilenet_engine::Error::new(mobilenet_engine::ErrorKind::NotFound, message)
                .with_source(error)
        };
        self.0.source.weights.read(name).map_err(failed)
    }
}

/// The label file among a module's files: `assets/…label….txt`, or the only text file in assets.
fn label_file(paths: Vec<String>) -> Option<String> {
    let is_text = |path: &String| path.starts_with("assets/") && path.ends_with(".txt");
    let mut texts: Vec<String> = paths.into_iter().filter(is_text).collect();
    let named = texts.iter().position(|path| path.to_ascii_lowercase().contains("label"));
    match (named, texts.len()) {
        (Some(at), _) => Some(texts.swap_remove(at)),
        (None, 1) => texts.pop(),
        _ => None,
    }
}

/// The input that takes pictures.
fn images_port(signature: &Signature) -> Option<&Port> {
    signature.input("images").or_else(|| signature.inputs.iter().find(|port| is_images(port)))
}

fn require_images(signature: &Signature) -> Result<&Port> {
    images_port(signature).ok_or_else(|| {
        let keys = signature.inputs.iter().map(|port| port.key.as_str());
        missing("image input", "images", keys)
    })
}

/// Whether bytes may be given for its floats.
fn takes_bytes(port: &Port) -> bool {
    port.dtype == DType::F32 && (port.key == "images" || is_images(port))
}

fn is_images(port: &Port) -> bool {
    let colours =
        || port.shape.as_ref().map(|shape| (shape.len(), shape.last().copied().flatten()));
    port.dtype == DType::F32 && colours() == Some((4, Some(3)))
}

fn input_port<'a>(signature: &'a Signature, key: &str) -> Result<&'a Port> {
    let keys = || signature.inputs.iter().map(|port| port.key.as_str());
    let what = || format!("input of signature `{}`", signature.name);
    signature.input(key).ok_or_else(|| missing(&what(), key, keys()))
}

fn check_dtype(port: &Port, dtype: DType) -> Result<()> {
    if dtype == port.dtype || dtype == DType::U8 && takes_bytes(port) {
        return Ok(());
    }
    let or_bytes = if takes_bytes(port) { " or uint8" } else { "" };
    let message = format!("input `{}` takes {}{or_bytes}, not {dtype}", port.key, port.dtype);
    Err(Error::new(ErrorKind::Input, message))
}

fn check(port: &Port, tensor: &Tensor) -> Result<()> {
    check_dtype(port, tensor.dtype())?;
    check_shape(port, tensor.shape())?;
    match tensor.as_f32() {
        Some(values) if is_images(port) => range::check_unit(&port.key, values),
        _ => Ok(()),
    }
}

fn check_shape(port: &Port, shape: &[usize]) -> Result<()> {
    if port.admits(shape) && !shape.contains(&0) {
        return Ok(());
    }
    let wanted = DisplayShape(port.shape.as_deref());
    let message = format!("input `{}` takes {wanted}, not {shape:?}", port.key);
    Err(Error::new(ErrorKind::Input, message))
}

pub(crate) fn missing<'a>(what: &str, name: &str, there: impl Iterator<Item = &'a str>) -> Error {
    let mut there: Vec<&str> = there.collect();
    there.sort_unstable();
    let rest = there.len().saturating_sub(8);
    there.truncate(8);
    let more = if rest > 0 { format!(" and {rest} more") } else { String::new() };
    let message = format!("no {what} `{name}`; there are {}{more}", there.join(", "));
    Error::new(ErrorKind::NotFound, message)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_label_file_is_found_by_name_or_by_being_alone() {
        let find = |paths: &[&str]| label_file(paths.iter().map(|p| (*p).to_owned()).collect());
        assert_eq!(
            find(&["assets/a.txt", "assets/labels.txt"]).as_deref(),
            Some("assets/labels.txt")
        );
        assert_eq!(
            find(&["assets/classes.txt", "saved_model.pb"]).as_deref(),
            Some("assets/classes.txt")
        );
        assert_eq!(find(&["assets/a.txt", "assets/b.txt"]), None);
        assert_eq!(find(&["labels.txt"]), None);
    }
}
