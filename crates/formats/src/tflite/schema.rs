//! The tables of a TFLite file, as the public schema (`schema.fbs`, identifier `TFL3`) declares them.
//!
//! Field names and numbers are the schema's; see there for what a model means by them. Operator
//! options are in `options.rs`, what people say about a model in `metadata.rs`, values in
//! `tensor.rs`. Nothing here checks that indices point anywhere: the accessors return `Option`.

use super::operators::BuiltinOperator;
use super::options::BuiltinOptions;

enums! {
    /// The element type of a tensor.
    TensorType: i8 {
        FLOAT32 = 0, FLOAT16 = 1, INT32 = 2, UINT8 = 3, INT64 = 4, STRING = 5, BOOL = 6, INT16 = 7,
        COMPLEX64 = 8, INT8 = 9, FLOAT64 = 10, COMPLEX128 = 11, UINT64 = 12, RESOURCE = 13,
        VARIANT = 14, UINT32 = 15, UINT16 = 16, INT4 = 17, BFLOAT16 = 18, INT2 = 19, UINT4 = 20,
        FLOAT8_E4M3FN = 21, FLOAT8_E5M2 = 22,
    }
    /// How a dimension of a sparse tensor is stored.
    DimensionType: i8 { DENSE = 0, SPARSE_CSR = 1 }
}

tables! {
    /// A whole file.
    Model {
        /// Version of the schema: 3.
        [0] version: u32,
        /// The operators used; [`Operator::opcode_index`] counts into this list.
        [1] operator_codes: Vec<OperatorCode>,
        /// The graphs; the first is the model, others are bodies of control flow or signatures.
        [2] subgraphs: Vec<SubGraph>,
        /// Anything; converters write their name.
        [3] description: String = String::new(),
        /// Raw bytes of constants; buffer 0 is empty by convention.
        [4] buffers: Vec<Buffer>,
        /// Superseded by `metadata`.
        [5] metadata_buffer: Vec<i32> = vec![],
        /// Named buffers, for one `TFLITE_METADATA`.
        [6] metadata: Vec<Metadata> = vec![],
        /// Named inputs and outputs.
        [7] signature_defs: Vec<SignatureDef> = vec![],
        /// Files outside this one.
        [8] external_buffer_groups: Vec<ExternalBufferGroup> = vec![],
        /// Buffers in those files.
        [9] external_buffers: Vec<ExternalBuffer> = vec![],
    }

    /// One graph. Operators are in the order of execution.
    SubGraph {
        /// All tensors, constants and activations alike.
        [0] tensors: Vec<Tensor>,
        /// Tensors fed from outside.
        [1] inputs: Vec<i32>,
        /// Tensors returned.
        [2] outputs: Vec<i32>,
        /// What is done, in order.
        [3] operators: Vec<Operator>,
        /// The graph's name.
        [4] name: String = String::new(),
        /// Debug information, -1 for none.
        [5] debug_metadata_index: i32 = -1,
    }

    /// A tensor: its type, shape, and where its value is if it is a constant.
    Tensor {
        /// Dimensions, NHWC for images; unknown ones are 1 here and -1 in `shape_signature`.
        [0] shape: Vec<i32>,
        /// Element type.
        [1] r#type: TensorType = TensorType::FLOAT32,
        /// The constant's bytes; 0, the empty buffer, for activations.
        [2] buffer: u32 = 0,
        /// The tensor's name.
        [3] name: String,
        /// What the integers stand for.
        [4] quantization: Option<QuantizationParameters> = None,
        /// Keeps its value between runs.
        [5] is_variable: bool = false,
        /// How a sparse constant is stored.
        [6] sparsity: Option<SparsityParameters> = None,
        /// `shape` with -1 for unknown dimensions.
        [7] shape_signature: Vec<i32> = vec![],
        /// Whether an empty `shape` means a scalar rather than an unknown rank.
        [8] has_rank: bool = false,
        /// Types inside a variant.
        [9] variant_tensors: Vec<VariantSubType> = vec![],
        /// A buffer outside the file.
        [10] external_buffer: u32 = 0,
    }

    /// `real = scale * (quantised - zero_point)`, once for the tensor or once per index of a dimension.
    /// [`Tensor::affine`] checks these numbers and returns them in a form to use.
    QuantizationParameters {
        /// Smallest real value seen, for importing back.
        [0] min: Vec<f32> = vec![],
        /// Largest real value seen, for importing back.
        [1] max: Vec<f32> = vec![],
        /// One scale, or one per index of `quantized_dimension`.
        [2] scale: Vec<f32> = vec![],
        /// As many as `scale`.
        [3] zero_point: Vec<i64> = vec![],
        /// Other schemes.
        [4] details: QuantizationDetails = QuantizationDetails::None,
        /// The dimension that several scales count along.
        [6] quantized_dimension: i32 = 0,
    }

    /// A scheme of somebody's own.
    CustomQuantization { /// Its parameters.
        [0] custom: Vec<u8> = vec![] }

    /// Scales and zero points as tensors, per block.
    BlockwiseQuantization {
        /// Tensor with the scales.
        [0] scales: i32 = 0,
        /// Tensor with the zero points.
        [1] zero_points: i32 = 0,
        /// Elements of a block.
        [2] block_size: i32 = 0,
        /// Shape of a block.
        [3] block_shape: Vec<i32> = vec![],
    }

    /// Scales and zero points as tensors, along several dimensions.
    MultiAxisQuantization {
        /// Tensor with the scales.
        [0] scales: i32 = 0,
        /// Tensor with the zero points.
        [1] zero_points: i32 = 0,
        /// Elements of a block.
        [2] block_size: i32 = 0,
        /// The dimensions.
        [3] quantized_dimensions: Vec<i32> = vec![],
    }

    /// How a sparse constant is stored.
    SparsityParameters {
        /// Order in which dimensions are stored.
        [0] traversal_order: Vec<i32> = vec![],
        /// Which dimension a block dimension divides.
        [1] block_map: Vec<i32> = vec![],
        /// One per stored dimension.
        [2] dim_metadata: Vec<DimensionMetadata> = vec![],
    }

    /// How one dimension of a sparse constant is stored.
    DimensionMetadata {
        /// Dense, or compressed rows.
        [0] format: DimensionType = DimensionType::DENSE,
        /// Size if dense.
        [1] dense_size: i32 = 0,
        /// Where rows start.
        [2] array_segments: SparseIndexVector = SparseIndexVector::None,
        /// Indices in the rows.
        [4] array_indices: SparseIndexVector = SparseIndexVector::None,
    }

    /// Indices of 32 bits.
    Int32Vector { /// The indices.
        [0] values: Vec<i32> = vec![] }
    /// Indices of 16 bits.
    Uint16Vector { /// The indices.
        [0] values: Vec<u16> = vec![] }
    /// Indices of 8 bits.
    Uint8Vector { /// The indices.
        [0] values: Vec<u8> = vec![] }

    /// The type of what a variant holds.
    VariantSubType {
        /// Its shape.
        [0] shape: Vec<i32> = vec![],
        /// Its element type.
        [1] r#type: TensorType = TensorType::FLOAT32,
        /// Whether the shape is known.
        [2] has_rank: bool = false,
    }

    /// Which operator an index stands for.
    OperatorCode {
        /// The operator's number while it was a byte; [`OperatorCode::builtin`] chooses.
        [0] deprecated_builtin_code: i8 = 0,
        /// Name of a custom operator.
        [1] custom_code: String = String::new(),
        /// Version of the operator's definition.
        [2] version: i32 = 1,
        /// The operator's number.
        [3] builtin_code: BuiltinOperator = BuiltinOperator::ADD,
    }

    /// One operation on tensors of its subgraph; index -1 is an omitted optional tensor.
    Operator {
        /// Index into [`Model::operator_codes`].
        [0] opcode_index: u32 = 0,
        /// Tensors read.
        [1] inputs: Vec<i32>,
        /// Tensors written.
        [2] outputs: Vec<i32>,
        /// Parameters of a builtin operator.
        [3] builtin_options: BuiltinOptions = BuiltinOptions::None,
        /// Parameters of a custom operator.
        [5] custom_options: Vec<u8> = vec![],
        /// Encoding of those: 0, FlexBuffers.
        [6] custom_options_format: i8 = 0,
        /// Which inputs are changed.
        [7] mutating_variable_inputs: Vec<bool> = vec![],
        /// Tensors for intermediate results.
        [8] intermediates: Vec<i32> = vec![],
        /// Custom parameters behind the FlatBuffer: first byte in the file.
        [9] large_custom_options_offset: u64 = 0,
        /// Their length in bytes.
        [10] large_custom_options_size: u64 = 0,
        /// Parameters of StableHLO operators.
        [11] builtin_options_2: BuiltinOptions2 = BuiltinOptions2::None,
        /// Debug information, -1 for none.
        [13] debug_metadata_index: i32 = -1,
    }

    /// How big strides a dilation takes; only here so that [`BuiltinOptions2`] has a case.
    DilateOptions {}

    /// Raw bytes. In files over 2 GiB they lie behind the FlatBuffer; the reader fetches them.
    Buffer {
        /// The bytes.
        [0] data: Vec<u8> = vec![],
        /// First byte in the file if not in `data`; 0 and 1 mean `data`.
        [1] offset: u64 = 0,
        /// Bytes from there.
        [2] size: u64 = 0,
    }

    /// A buffer with a name.
    Metadata {
        /// What it is, `TFLITE_METADATA` or `min_runtime_version`.
        [0] name: String,
        /// Index into [`Model::buffers`].
        [1] buffer: u32 = 0,
    }

    /// A name for a tensor of a subgraph.
    TensorMap {
        /// The name callers use.
        [0] name: String,
        /// The tensor's index.
        [1] tensor_index: u32 = 0,
    }

    /// Named inputs and outputs of a subgraph.
    SignatureDef {
        /// What goes in.
        [0] inputs: Vec<TensorMap>,
        /// What comes out.
        [1] outputs: Vec<TensorMap>,
        /// The signature's name, `serving_default`.
        [2] signature_key: String,
        /// The graph that computes it.
        [4] subgraph_index: u32 = 0,
    }

    /// A file outside this one.
    ExternalBufferGroup { /// Its name.
        [0] name: String }

    /// A stretch of a file outside this one.
    ExternalBuffer {
        /// Number that tensors refer to.
        [0] id: u32 = 0,
        /// Index of the file.
        [1] group: u32 = 0,
        /// First byte.
        [2] offset: u64 = 0,
        /// Bytes.
        [3] length: u64 = 0,
        /// How values are packed.
        [4] packing: String = String::new(),
    }
}

unions! {
    /// Quantisation schemes other than scale and zero point.
    QuantizationDetails {
        CustomQuantization(CustomQuantization) = 1,
        BlockwiseQuantization(BlockwiseQuantization) = 2,
        MultiAxisQuantization(MultiAxisQuantization) = 3,
    }
    /// Indices of a sparse dimension.
    SparseIndexVector {
        Int32(Int32Vector) = 1,
        Uint16(Uint16Vector) = 2,
        Uint8(Uint8Vector) = 3,
    }
    /// Options of StableHLO operators, which this library keeps only by number.
    BuiltinOptions2 {
        Dilate(DilateOptions) = 18,
    }
}

impl OperatorCode {
    /// An operator by its number, in both of the places where readers look.
    #[must_use]
    pub fn new(builtin_code: BuiltinOperator, version: i32) -> Self {
        // 127 in the byte says: look at the wider field.
        let deprecated_builtin_code = i8::try_from(builtin_code.0).unwrap_or(127);
        Self { deprecated_builtin_code, version, builtin_code, ..Self::default() }
    }

    /// The operator: files before 2020 have only the byte, later ones both, and the larger counts.
    #[must_use]
    pub fn builtin(&self) -> BuiltinOperator {
        self.builtin_code.max(BuiltinOperator(i32::from(self.deprecated_builtin_code)))
    }
}
