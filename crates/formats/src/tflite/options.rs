//! The options of TFLite's builtin operators, one table each, and the union that holds one of them.
//!
//! Transcribed from the public schema (`schema.fbs`), with its field numbers and defaults. The
//! options of recurrent and embedding operators and of StableHLO are not here: a file with them is
//! read, its options as `Unknown`, and cannot be written.

use super::schema::TensorType;

enums! {
    /// How a window treats the border.
    Padding: i8 { SAME = 0, VALID = 1 }
    /// The activation fused into an operator.
    ActivationFunctionType: i8 { NONE = 0, RELU = 1, RELU_N1_TO_1 = 2, RELU6 = 3, TANH = 4, SIGN_BIT = 5 }
    /// How the weights of a fully connected operator are laid out.
    WeightsFormat: i8 { DEFAULT = 0, SHUFFLED4X16INT8 = 1 }
    /// What a mirrored border repeats.
    MirrorPadMode: i8 { REFLECT = 0, SYMMETRIC = 1 }
}

#[allow(missing_docs)]
mod tables {
    use super::*;

    tables! {
        Conv2DOptions {
            [0] padding: Padding = Padding::SAME,
            [1] stride_w: i32 = 0,
            [2] stride_h: i32 = 0,
            [3] fused_activation_function: ActivationFunctionType = ActivationFunctionType::NONE,
            [4] dilation_w_factor: i32 = 1,
            [5] dilation_h_factor: i32 = 1,
            [6] quantized_bias_type: TensorType = TensorType::FLOAT32,
        }
        DepthwiseConv2DOptions {
            [0] padding: Padding = Padding::SAME,
            [1] stride_w: i32 = 0,
            [2] stride_h: i32 = 0,
            [3] depth_multiplier: i32 = 0,
            [4] fused_activation_function: ActivationFunctionType = ActivationFunctionType::NONE,
            [5] dilation_w_factor: i32 = 1,
            [6] dilation_h_factor: i32 = 1,
        }
        Pool2DOptions {
            [0] padding: Padding = Padding::SAME,
            [1] stride_w: i32 = 0,
            [2] stride_h: i32 = 0,
            [3] filter_width: i32 = 0,
            [4] filter_height: i32 = 0,
            [5] fused_activation_function: ActivationFunctionType = ActivationFunctionType::NONE,
        }
        FullyConnectedOptions {
            [0] fused_activation_function: ActivationFunctionType = ActivationFunctionType::NONE,
            [1] weights_format: WeightsFormat = WeightsFormat::DEFAULT,
            [2] keep_num_dims: bool = false,
            [3] asymmetric_quantize_inputs: bool = false,
            [4] quantized_bias_type: TensorType = TensorType::FLOAT32,
            [5] quant_spec: Vec<u8> = vec![],
        }
        SoftmaxOptions { [0] beta: f32 = 0.0 }
        ConcatenationOptions {
            [0] axis: i32 = 0,
            [1] fused_activation_function: ActivationFunctionType = ActivationFunctionType::NONE,
        }
        AddOptions {
            [0] fused_activation_function: ActivationFunctionType = ActivationFunctionType::NONE,
            [1] pot_scale_int16: bool = true,
        }
        L2NormOptions { [0] fused_activation_function: ActivationFunctionType = ActivationFunctionType::NONE }
        LocalResponseNormalizationOptions {
            [0] radius: i32 = 0,
            [1] bias: f32 = 0.0,
            [2] alpha: f32 = 0.0,
            [3] beta: f32 = 0.0,
        }
        ResizeBilinearOptions {
            [2] align_corners: bool = false,
            [3] half_pixel_centers: bool = false,
        }
        CallOptions { [0] subgraph: u32 = 0 }
        ReshapeOptions { [0] new_shape: Vec<i32> = vec![] }
        SpaceToDepthOptions { [0] block_size: i32 = 0 }
        MulOptions { [0] fused_activation_function: ActivationFunctionType = ActivationFunctionType::NONE }
        PadOptions {}
        GatherOptions {
            [0] axis: i32 = 0,
            [1] batch_dims: i32 = 0,
        }
        BatchToSpaceNDOptions {}
        SpaceToBatchNDOptions {}
        TransposeOptions {}
        ReducerOptions { [0] keep_dims: bool = false }
        SubOptions {
            [0] fused_activation_function: ActivationFunctionType = ActivationFunctionType::NONE,
            [1] pot_scale_int16: bool = true,
        }
        DivOptions { [0] fused_activation_function: ActivationFunctionType = ActivationFunctionType::NONE }
        SqueezeOptions { [0] squeeze_dims: Vec<i32> = vec![] }
        StridedSliceOptions {
            [0] begin_mask: i32 = 0,
            [1] end_mask: i32 = 0,
            [2] ellipsis_mask: i32 = 0,
            [3] new_axis_mask: i32 = 0,
            [4] shrink_axis_mask: i32 = 0,
            [5] offset: bool = false,
        }
        ExpOptions {}
        TopKV2Options {}
        SplitOptions { [0] num_splits: i32 = 0 }
        LogSoftmaxOptions {}
        CastOptions {
            [0] in_data_type: TensorType = TensorType::FLOAT32,
            [1] out_data_type: TensorType = TensorType::FLOAT32,
        }
        DequantizeOptions {}
        MaximumMinimumOptions {}
        ArgMaxOptions { [0] output_type: TensorType = TensorType::FLOAT32 }
        LessOptions {}
        NegOptions {}
        PadV2Options {}
        GreaterOptions {}
        GreaterEqualOptions {}
        LessEqualOptions {}
        SelectOptions {}
        SliceOptions {}
        TransposeConvOptions {
            [0] padding: Padding = Padding::SAME,
            [1] stride_w: i32 = 0,
            [2] stride_h: i32 = 0,
            [3] fused_activation_function: ActivationFunctionType = ActivationFunctionType::NONE,
            [4] quantized_bias_type: TensorType = TensorType::FLOAT32,
        }
        SparseToDenseOptions { [0] validate_indices: bool = false }
        TileOptions {}
        ExpandDimsOptions {}
        EqualOptions {}
        NotEqualOptions {}
        ShapeOptions { [0] out_type: TensorType = TensorType::FLOAT32 }
        PowOptions {}
        ArgMinOptions { [0] output_type: TensorType = TensorType::FLOAT32 }
        FakeQuantOptions {
            [0] min: f32 = 0.0,
            [1] max: f32 = 0.0,
            [2] num_bits: i32 = 0,
            [3] narrow_range: bool = false,
        }
        PackOptions {
            [0] values_count: i32 = 0,
            [1] axis: i32 = 0,
        }
        LogicalOrOptions {}
        OneHotOptions { [0] axis: i32 = 0 }
        LogicalAndOptions {}
        LogicalNotOptions {}
        UnpackOptions {
            [0] num: i32 = 0,
            [1] axis: i32 = 0,
        }
        FloorDivOptions {}
        SquareOptions {}
        ZerosLikeOptions {}
        FillOptions {}
        FloorModOptions {}
        RangeOptions {}
        ResizeNearestNeighborOptions {
            [0] align_corners: bool = false,
            [1] half_pixel_centers: bool = false,
        }
        LeakyReluOptions { [0] alpha: f32 = 0.0 }
        SquaredDifferenceOptions {}
        MirrorPadOptions { [0] mode: MirrorPadMode = MirrorPadMode::REFLECT }
        AbsOptions {}
        SplitVOptions { [0] num_splits: i32 = 0 }
        UniqueOptions { [0] idx_out_type: TensorType = TensorType::INT32 }
        ReverseV2Options {}
        AddNOptions {}
        GatherNdOptions {}
        CosOptions {}
        WhereOptions {}
        RankOptions {}
        ReverseSequenceOptions {
            [0] seq_dim: i32 = 0,
            [1] batch_dim: i32 = 0,
        }
        MatrixDiagOptions {}
        QuantizeOptions {}
        MatrixSetDiagOptions {}
        HardSwishOptions {}
        IfOptions {
            [0] then_subgraph_index: i32 = 0,
            [1] else_subgraph_index: i32 = 0,
        }
        WhileOptions {
            [0] cond_subgraph_index: i32 = 0,
            [1] body_subgraph_index: i32 = 0,
        }
        DepthToSpaceOptions { [0] block_size: i32 = 0 }
        NonMaxSuppressionV4Options {}
        NonMaxSuppressionV5Options {}
        ScatterNdOptions {}
        SelectV2Options {}
        DensifyOptions {}
        SegmentSumOptions {}
        BatchMatMulOptions {
            [0] adj_x: bool = false,
            [1] adj_y: bool = false,
            [2] asymmetric_quantize_inputs: bool = false,
        }
        CumsumOptions {
            [0] exclusive: bool = false,
            [1] reverse: bool = false,
        }
        CallOnceOptions { [0] init_subgraph_index: i32 = 0 }
        BroadcastToOptions {}
        Rfft2dOptions {}
        Conv3DOptions {
            [0] padding: Padding = Padding::SAME,
            [1] stride_d: i32 = 0,
            [2] stride_w: i32 = 0,
            [3] stride_h: i32 = 0,
            [4] fused_activation_function: ActivationFunctionType = ActivationFunctionType::NONE,
            [5] dilation_d_factor: i32 = 1,
            [6] dilation_w_factor: i32 = 1,
            [7] dilation_h_factor: i32 = 1,
        }
        HashtableOptions {
            [0] table_id: i32 = 0,
            [1] key_dtype: TensorType = TensorType::FLOAT32,
            [2] value_dtype: TensorType = TensorType::FLOAT32,
        }
        HashtableFindOptions {}
        HashtableImportOptions {}
        HashtableSizeOptions {}
        VarHandleOptions {
            [0] container: String = String::new(),
            [1] shared_name: String = String::new(),
        }
        ReadVariableOptions {}
        AssignVariableOptions {}
        RandomOptions {
            [0] seed: i64 = 0,
            [1] seed2: i64 = 0,
        }
        BucketizeOptions { [0] boundaries: Vec<f32> = vec![] }
        GeluOptions { [0] approximate: bool = false }
        DynamicUpdateSliceOptions {}
        UnsortedSegmentProdOptions {}
        UnsortedSegmentMaxOptions {}
        UnsortedSegmentMinOptions {}
        UnsortedSegmentSumOptions {}
        ATan2Options {}
        SignOptions {}
        BitcastOptions {}
        BitwiseXorOptions {}
        RightShiftOptions {}
    }
}

pub use tables::*;

unions! {
    /// The options of a builtin operator.
    BuiltinOptions {
        Conv2D(Conv2DOptions) = 1,
        DepthwiseConv2D(DepthwiseConv2DOptions) = 2,
        Pool2D(Pool2DOptions) = 5,
        FullyConnected(FullyConnectedOptions) = 8,
        Softmax(SoftmaxOptions) = 9,
        Concatenation(ConcatenationOptions) = 10,
        Add(AddOptions) = 11,
        L2Norm(L2NormOptions) = 12,
        LocalResponseNormalization(LocalResponseNormalizationOptions) = 13,
        ResizeBilinear(ResizeBilinearOptions) = 15,
        Call(CallOptions) = 16,
        Reshape(ReshapeOptions) = 17,
        SpaceToDepth(SpaceToDepthOptions) = 19,
        Mul(MulOptions) = 21,
        Pad(PadOptions) = 22,
        Gather(GatherOptions) = 23,
        BatchToSpaceND(BatchToSpaceNDOptions) = 24,
        SpaceToBatchND(SpaceToBatchNDOptions) = 25,
        Transpose(TransposeOptions) = 26,
        Reducer(ReducerOptions) = 27,
        Sub(SubOptions) = 28,
        Div(DivOptions) = 29,
        Squeeze(SqueezeOptions) = 30,
        StridedSlice(StridedSliceOptions) = 32,
        Exp(ExpOptions) = 33,
        TopKV2(TopKV2Options) = 34,
        Split(SplitOptions) = 35,
        LogSoftmax(LogSoftmaxOptions) = 36,
        Cast(CastOptions) = 37,
        Dequantize(DequantizeOptions) = 38,
        MaximumMinimum(MaximumMinimumOptions) = 39,
        ArgMax(ArgMaxOptions) = 40,
        Less(LessOptions) = 41,
        Neg(NegOptions) = 42,
        PadV2(PadV2Options) = 43,
        Greater(GreaterOptions) = 44,
        GreaterEqual(GreaterEqualOptions) = 45,
        LessEqual(LessEqualOptions) = 46,
        Select(SelectOptions) = 47,
        Slice(SliceOptions) = 48,
        TransposeConv(TransposeConvOptions) = 49,
        SparseToDense(SparseToDenseOptions) = 50,
        Tile(TileOptions) = 51,
        ExpandDims(ExpandDimsOptions) = 52,
        Equal(EqualOptions) = 53,
        NotEqual(NotEqualOptions) = 54,
        Shape(ShapeOptions) = 55,
        Pow(PowOptions) = 56,
        ArgMin(ArgMinOptions) = 57,
        FakeQuant(FakeQuantOptions) = 58,
        Pack(PackOptions) = 59,
        LogicalOr(LogicalOrOptions) = 60,
        OneHot(OneHotOptions) = 61,
        LogicalAnd(LogicalAndOptions) = 62,
        LogicalNot(LogicalNotOptions) = 63,
        Unpack(UnpackOptions) = 64,
        FloorDiv(FloorDivOptions) = 65,
        Square(SquareOptions) = 66,
        ZerosLike(ZerosLikeOptions) = 67,
        Fill(FillOptions) = 68,
        FloorMod(FloorModOptions) = 72,
        Range(RangeOptions) = 73,
        ResizeNearestNeighbor(ResizeNearestNeighborOptions) = 74,
        LeakyRelu(LeakyReluOptions) = 75,
        SquaredDifference(SquaredDifferenceOptions) = 76,
        MirrorPad(MirrorPadOptions) = 77,
        Abs(AbsOptions) = 78,
        SplitV(SplitVOptions) = 79,
        Unique(UniqueOptions) = 80,
        ReverseV2(ReverseV2Options) = 81,
        AddN(AddNOptions) = 82,
        GatherNd(GatherNdOptions) = 83,
        Cos(CosOptions) = 84,
        Where(WhereOptions) = 85,
        Rank(RankOptions) = 86,
        ReverseSequence(ReverseSequenceOptions) = 87,
        MatrixDiag(MatrixDiagOptions) = 88,
        Quantize(QuantizeOptions) = 89,
        MatrixSetDiag(MatrixSetDiagOptions) = 90,
        HardSwish(HardSwishOptions) = 91,
        If(IfOptions) = 92,
        While(WhileOptions) = 93,
        DepthToSpace(DepthToSpaceOptions) = 94,
        NonMaxSuppressionV4(NonMaxSuppressionV4Options) = 95,
        NonMaxSuppressionV5(NonMaxSuppressionV5Options) = 96,
        ScatterNd(ScatterNdOptions) = 97,
        SelectV2(SelectV2Options) = 98,
        Densify(DensifyOptions) = 99,
        SegmentSum(SegmentSumOptions) = 100,
        BatchMatMul(BatchMatMulOptions) = 101,
        Cumsum(CumsumOptions) = 102,
        CallOnce(CallOnceOptions) = 103,
        BroadcastTo(BroadcastToOptions) = 104,
        Rfft2d(Rfft2dOptions) = 105,
        Conv3D(Conv3DOptions) = 106,
        Hashtable(HashtableOptions) = 107,
        HashtableFind(HashtableFindOptions) = 108,
        HashtableImport(HashtableImportOptions) = 109,
        HashtableSize(HashtableSizeOptions) = 110,
        VarHandle(VarHandleOptions) = 111,
        ReadVariable(ReadVariableOptions) = 112,
        AssignVariable(AssignVariableOptions) = 113,
        Random(RandomOptions) = 114,
        Bucketize(BucketizeOptions) = 115,
        Gelu(GeluOptions) = 116,
        DynamicUpdateSlice(DynamicUpdateSliceOptions) = 117,
        UnsortedSegmentProd(UnsortedSegmentProdOptions) = 118,
        UnsortedSegmentMax(UnsortedSegmentMaxOptions) = 119,
        UnsortedSegmentMin(UnsortedSegmentMinOptions) = 120,
        UnsortedSegmentSum(UnsortedSegmentSumOptions) = 121,
        ATan2(ATan2Options) = 122,
        Sign(SignOptions) = 123,
        Bitcast(BitcastOptions) = 124,
        BitwiseXor(BitwiseXorOptions) = 125,
        RightShift(RightShiftOptions) = 126,
    }
}
