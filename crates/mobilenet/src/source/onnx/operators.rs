//! ONNX's operators in TensorFlow's: a function each, and a line of [`OPERATORS`].

use std::sync::Arc;

use mobilenet_engine::{Attributes, TensorId};
use mobilenet_formats::{DType, Tensor};

use super::{Call, Importer, Value, sizes, unsupported};
use crate::error::Result;

type Import = fn(&mut Importer, &Call<'_>) -> Result<Value>;

/// Every operator that is understood.
pub(super) const OPERATORS: &[(&str, Import)] = &[
    ("Add", |importer, call| arithmetic(importer, call, "AddV2")),
    ("AveragePool", |importer, call| pool(importer, call, "AvgPool")),
    ("BatchNormalization", batch_norm),
    ("Cast", cast),
    ("Clip", clip),
    ("Concat", sizes::concat),
    ("Constant", constant),
    ("Conv", conv),
    ("Div", |importer, call| arithmetic(importer, call, "RealDiv")),
    ("Dropout", same),
    ("Flatten", flatten),
    ("Gather", sizes::gather),
    ("Gemm", gemm),
    ("GlobalAveragePool", global_average_pool),
    ("Identity", same),
    ("MatMul", mat_mul),
    ("Max", |importer, call| bound(importer, call, "Maximum")),
    ("MaxPool", |importer, call| pool(importer, call, "MaxPool")),
    ("Min", |importer, call| bound(importer, call, "Minimum")),
    ("Mul", |importer, call| arithmetic(importer, call, "Mul")),
    ("Pad", pad),
    ("ReduceMean", reduce_mean),
    ("Relu", |importer, call| activation(importer, call, "Relu")),
    ("Reshape", reshape),
    ("Shape", sizes::shape_of),
    ("Sigmoid", |importer, call| activation(importer, call, "Sigmoid")),
    ("Slice", sizes::slice),
    ("Softmax", softmax),
    ("Squeeze", squeeze),
    ("Sub", |importer, call| arithmetic(importer, call, "Sub")),
    ("Transpose", transpose),
    ("Unsqueeze", unsqueeze),
];

fn image(tensor: TensorId) -> Result<Value> {
    Ok(Value::Computed { tensor, channels_first: true })
}

fn plain(tensor: TensorId) -> Result<Value> {
    Ok(Value::Computed { tensor, channels_first: false })
}

fn same(_: &mut Importer, call: &Call<'_>) -> Result<Value> {
    call.input(0).cloned()
}

/// Of what is computed only from floats to floats, all of which are float32 here.
fn cast(_: &mut Importer, call: &Call<'_>) -> Result<Value> {
    const FLOAT: i64 = 1;
    const FLOAT16: i64 = 10;
    const DOUBLE: i64 = 11;
    const BFLOAT16: i64 = 16;
    let value = call.input(0)?.clone();
    let to = call.int("to", FLOAT);
    let computed = matches!(value, Value::Computed { .. });
    if computed && ![FLOAT, FLOAT16, DOUBLE, BFLOAT16].contains(&to) {
        return Err(unsupported(format!("a computed tensor as type {to}")));
    }
    Ok(value)
}

fn constant(_: &mut Importer, call: &Call<'_>) -> Result<Value> {
    let [attribute] = call.node.attribute.as_slice() else {
        return Err(unsupported("a constant of more than one value, or none"));
    };
    let value = match (attribute.name.as_str(), &attribute.t) {
        ("value", Some(value)) => {
            value.to_tensor(&call.wanted.files.with_neighbours(), call.wanted.limits)?
        }
        ("value_float", _) => Tensor::new([], vec![attribute.f.unwrap_or_default()])?,
        ("value_floats", _) => Tensor::vector(attribute.floats.clone()),
        ("value_int", _) => Tensor::new([], vec![attribute.i.unwrap_or_default()])?,
        ("value_ints", _) => Tensor::vector(attribute.ints.clone()),
        (name, _) => return Err(unsupported(format!("a constant by its attribute {name:?}"))),
    };
    Ok(Value::Constant(Arc::new(value)))
}

fn activation(importer: &mut Importer, call: &Call<'_>, op: &str) -> Result<Value> {
    let (x, channels_first) = call.computed(0)?;
    Ok(Value::Computed { tensor: importer.float(call, op, &[x])?, channels_first })
}

fn clip(importer: &mut Importer, call: &Call<'_>) -> Result<Value> {
    let limit = |place: usize, name: &str, default: f32| -> Result<f32> {
        match call.has(place) {
            true => Ok(call.floats(place)?.1.first().copied().unwrap_or(default)),
            false => Ok(call.number(name, default)),
        }
    };
    let (low, high) = (limit(1, "min", f32::NEG_INFINITY)?, limit(2, "max", f32::INFINITY)?);
    if (low, high) == (0.0, 6.0) {
        return activation(importer, call, "Relu6");
    }
    if low == 0.0 && high >= f32::MAX {
        return activation(importer, call, "Relu");
    }
    let (mut x, channels_first) = call.computed(0)?;
    for (op, limit, wide) in
        [("Maximum", low, low <= f32::MIN), ("Minimum", high, high >= f32::MAX)]
    {
        if !wide {
            let limit = importer.constant(call, op, &Tensor::new([], vec![limit])?)?;
            x = importer.float(call, op, &[x, limit])?;
        }
    }
    Ok(Value::Computed { tensor: x, channels_first })
}

/// The larger or smaller of a tensor and a number; 6 at most after relu is relu6.
fn bound(importer: &mut Importer, call: &Call<'_>, op: &str) -> Result<Value> {
    let place = match call.input(0)? {
        Value::Constant(_) => 0,
        _ => 1,
    };
    let (x, channels_first) = call.computed(1 - place)?;
    let (_, values) = call.floats(place)?;
    let (&[limit], 2) = (values, call.inputs.len()) else {
        return Err(unsupported("more than a tensor and one number"));
    };
    let relu = importer.graph.node(x.node);
    let before = relu.inputs.first().copied().filter(|_| relu.op_name == "Relu");
    let tensor = match (op, limit, before) {
        ("Minimum", 6.0, Some(before)) => importer.float(call, "Relu6", &[before])?,
        ("Maximum", 0.0, _) => importer.float(call, "Relu", &[x])?,
        _ => {
            let limit = importer.constant(call, "limit", &Tensor::new([], vec![limit])?)?;
            importer.float(call, op, &[x, limit])?
        }
    };
    Ok(Value::Computed { tensor, channels_first })
}

/// A const kernel `[o, i, h, w]` turned to `[h, w, i, o]`, for depthwise to `[h, w, c, m]`.
fn kernel(shape: [usize; 4], values: &[f32], groups: usize) -> Result<Tensor> {
    let [outputs, inputs, height, width] = shape;
    if shape.contains(&0) {
        return Err(unsupported(format!("an empty kernel {shape:?}")));
    }
    let (rows, columns) = if groups == 1 { (inputs, outputs) } else { (groups, outputs / groups) };
    let mut turned = Vec::with_capacity(values.len());
    for at in 0..height * width {
        for row in 0..rows {
            for column in 0..columns {
                let (output, input) =
                    if groups == 1 { (column, row) } else { (row * columns + column, 0) };
                let place = (output * inputs + input) * height * width + at;
                turned.push(values.get(place).copied().unwrap_or(f32::NAN));
            }
        }
    }
    Ok(Tensor::new([height, width, rows, columns], turned)?)
}

fn conv(importer: &mut Importer, call: &Call<'_>) -> Result<Value> {
    let x = call.image(0)?;
    let (shape, values) = call.floats(1)?;
    let &[outputs, inputs, height, width] = shape else {
        return Err(unsupported(format!("a kernel of shape {shape:?}: 2-D convolutions only")));
    };
    let groups = usize::try_from(call.int("group", 1)).unwrap_or(0);
    let depthwise = groups > 1 && inputs == 1 && outputs % groups == 0;
    if groups != 1 && !depthwise {
        return Err(unsupported(format!("{groups} groups of {inputs} channels")));
    }
    if let Some(channels) = importer.dim(x, 3).filter(|&channels| channels != inputs * groups) {
        return Err(unsupported(format!(
            "a kernel for {} channels on {channels}",
            inputs * groups
        )));
    }
    let weights = kernel([outputs, inputs, height, width], values, groups)?;
    let weights = importer.constant(call, "weights", &weights)?;
    let (x, attributes) = window(importer, call, x)?;
    let [dy, dx] = pair(call, "dilations")?;
    let attributes = attributes.with_ints("dilations", &[1, dy, dx, 1]);
    let op = if depthwise { "DepthwiseConv2dNative" } else { "Conv2D" };
    let mut y = importer.add(call.name(), op, attributes, &[x, weights])?;
    if call.has(2) {
        let (_, bias) = call.floats(2)?;
        let bias = importer.constant(call, "bias", &Tensor::vector(bias.to_vec()))?;
        y = importer.float(call, "BiasAdd", &[y, bias])?;
    }
    image(y)
}

/// Two small positive numbers, 1 each where the attribute is absent.
fn pair(call: &Call<'_>, name: &str) -> Result<[i64; 2]> {
    match call.attribute(name).map_or(&[1, 1][..], |found| &found.ints) {
        &[a, b] if a > 0 && b > 0 && a < 1 << 20 && b < 1 << 20 => Ok([a, b]),
        other => Err(unsupported(format!("{name} {other:?}"))),
    }
}

/// Strides and borders; borders that `SAME` cannot express become a `Pad`.
fn window(importer: &mut Importer, call: &Call<'_>, x: TensorId) -> Result<(TensorId, Attributes)> {
    let [sy, sx] = pair(call, "strides")?;
    let pads = call.attribute("pads").map_or(vec![0; 4], |found| found.ints.clone());
    let (x, padding) = match (call.text("auto_pad").as_str(), pads.as_slice()) {
        ("SAME_UPPER", _) => (x, "SAME"),
        ("VALID", _) | ("" | "NOTSET", &[0, 0, 0, 0]) => (x, "VALID"),
        ("" | "NOTSET", &[top, left, bottom, right]) => {
            (bordered(importer, call, x, [top, left, bottom, right])?, "VALID")
        }
        (auto, pads) => return Err(unsupported(format!("auto_pad {auto:?} and pads {pads:?}"))),
    };
    let attributes = Attributes::new()
        .with_dtype("T", DType::F32)
        .with_ints("strides", &[1, sy, sx, 1])
        .with_string("padding", padding);
    Ok((x, attributes))
}

fn bordered(
    importer: &mut Importer,
    call: &Call<'_>,
    x: TensorId,
    pads: [i64; 4],
) -> Result<TensorId> {
    let side = |pad: i64| i32::try_from(pad).ok().filter(|pad| (0..=1 << 12).contains(pad));
    let [Some(top), Some(left), Some(bottom), Some(right)] = pads.map(side) else {
        return Err(unsupported(format!("pads {pads:?}")));
    };
    let borders = Tensor::new([4, 2], vec![0, 0, top, bottom, left, right, 0, 0])?;
    let borders = importer.constant(call, "borders", &borders)?;
    let attributes =
        Attributes::new().with_dtype("T", DType::F32).with_dtype("Tpaddings", DType::I32);
    importer.add(&format!("{}/Pad", call.name()), "Pad", attributes, &[x, borders])
}

fn pad(importer: &mut Importer, call: &Call<'_>) -> Result<Value> {
    let (x, channels_first) = call.computed(0)?;
    let zero = match call.has(2) {
        true => call.floats(2)?.1.first().is_none_or(|value| *value == 0.0),
        false => call.number("value", 0.0) == 0.0,
    };
    let given = call.ints("pads", 1)?.unwrap_or_default();
    let axes = match call.has(3) {
        true => normal(&call.ints("axes", 3)?.unwrap_or_default()),
        false => vec![0, 1, 2, 3],
    };
    let mode = call.text("mode");
    let odd = || unsupported(format!("mode {mode:?} with pads {given:?} of axes {axes:?}"));
    let mut pads = [[0i64; 2]; 4];
    if given.len() != 2 * axes.len() || !["", "constant"].contains(&mode.as_str()) || !zero {
        return Err(odd());
    }
    for (place, &axis) in axes.iter().enumerate() {
        let both = usize::try_from(axis).ok().and_then(|axis| pads.get_mut(axis));
        *both.ok_or_else(odd)? = [given[place], given[place + axes.len()]];
    }
    let (height, width, others) = match channels_first {
        true => (pads[2], pads[3], [pads[0], pads[1]]),
        false => (pads[1], pads[2], [pads[0], pads[3]]),
    };
    if others != [[0; 2]; 2] {
        return Err(odd());
    }
    let tensor = bordered(importer, call, x, [height[0], width[0], height[1], width[1]])?;
    Ok(Value::Computed { tensor, channels_first })
}

fn pool(importer: &mut Importer, call: &Call<'_>, op: &str) -> Result<Value> {
    let x = call.image(0)?;
    let kernel = call.attribute("kernel_shape").map_or(&[][..], |found| &found.ints);
    let &[height, width] = kernel else {
        return Err(unsupported(format!("a window of shape {kernel:?}")));
    };
    let padded = call.attribute("pads").is_some_and(|found| found.ints.iter().any(|&pad| pad != 0));
    if padded || call.int("ceil_mode", 0) != 0 {
        return Err(unsupported("pooling with borders"));
    }
    let spread =
        call.attribute("dilations").is_some_and(|found| found.ints.iter().any(|&d| d != 1));
    let valid = ["", "NOTSET", "VALID"].contains(&call.text("auto_pad").as_str());
    if spread || !valid && call.int("count_include_pad", 0) != 0 {
        return Err(unsupported("pooling with dilations, or with borders that count"));
    }
    let (x, attributes) = window(importer, call, x)?;
    let attributes = attributes.with_ints("ksize", &[1, height, width, 1]);
    image(importer.add(call.name(), op, attributes, &[x])?)
}

fn global_average_pool(importer: &mut Importer, call: &Call<'_>) -> Result<Value> {
    let x = call.image(0)?;
    image(mean(importer, call, x, &[1, 2], true)?)
}

fn mean(
    importer: &mut Importer,
    call: &Call<'_>,
    x: TensorId,
    axes: &[i32],
    keep: bool,
) -> Result<TensorId> {
    let axes = importer.ints(call, "axes", axes)?;
    let attributes = Attributes::new()
        .with_dtype("T", DType::F32)
        .with_dtype("Tidx", DType::I32)
        .with_bool("keep_dims", keep);
    importer.add(call.name(), "Mean", attributes, &[x, axes])
}

fn reduce_mean(importer: &mut Importer, call: &Call<'_>) -> Result<Value> {
    let (x, channels_first) = call.computed(0)?;
    let keep = call.int("keepdims", 1) != 0;
    let given = call.ints("axes", 1)?.unwrap_or_default();
    let rank = importer.graph.fact(x).shape.rank().unwrap_or(0) as i64;
    let odd = || unsupported(format!("the mean over axes {given:?} of rank {rank}"));
    // Rows and columns, one after the other or at once; never images or channels.
    let axes = given.iter().map(|&axis| {
        let axis = if axis < 0 { axis + rank } else { axis };
        let axis = if channels_first { axis - 1 } else { axis };
        i32::try_from(axis).ok().filter(|axis| (1..rank - 1).contains(&i64::from(*axis)))
    });
    let axes: Vec<i32> =
        axes.collect::<Option<_>>().filter(|all: &Vec<i32>| !all.is_empty()).ok_or_else(odd)?;
    let tensor = mean(importer, call, x, &axes, keep)?;
    let left = if keep { rank } else { rank - axes.len() as i64 };
    Ok(Value::Computed { tensor, channels_first: channels_first && left > 2 })
}

/// Axes of a tensor of rank 4, counted from the front and sorted.
fn normal(axes: &[i64]) -> Vec<i64> {
    let mut axes: Vec<i64> =
        axes.iter().map(|&axis| if axis < 0 { axis + 4 } else { axis }).collect();
    axes.sort_unstable();
    axes
}

fn batch_norm(importer: &mut Importer, call: &Call<'_>) -> Result<Value> {
    if call.int("training_mode", 0) != 0 {
        return Err(unsupported("batch norm in training mode"));
    }
    let mut inputs = vec![call.image(0)?];
    for (place, what) in [(1, "gamma"), (2, "beta"), (3, "mean"), (4, "variance")] {
        let (_, values) = call.floats(place)?;
        inputs.push(importer.constant(call, what, &Tensor::vector(values.to_vec()))?);
    }
    let attributes = Attributes::new()
        .with_dtype("T", DType::F32)
        .with_dtype("U", DType::F32)
        .with_float("epsilon", call.number("epsilon", 1e-5))
        .with_bool("is_training", false);
    image(importer.add(call.name(), "FusedBatchNormV3", attributes, &inputs)?)
}

fn arithmetic(importer: &mut Importer, call: &Call<'_>, op: &str) -> Result<Value> {
    match (call.input(0)?, call.input(1)?) {
        (
            Value::Computed { tensor: a, channels_first },
            Value::Computed { tensor: b, channels_first: other },
        ) => {
            if channels_first != other {
                return Err(unsupported("its inputs are of two layouts"));
            }
            let tensor = importer.float(call, op, &[*a, *b])?;
            Ok(Value::Computed { tensor, channels_first: *channels_first })
        }
        (Value::Computed { tensor, channels_first }, Value::Constant(_)) => {
            let b = beside(importer, call, 1, *channels_first)?;
            let tensor = importer.float(call, op, &[*tensor, b])?;
            Ok(Value::Computed { tensor, channels_first: *channels_first })
        }
        (Value::Constant(_), Value::Computed { tensor, channels_first }) => {
            let a = beside(importer, call, 0, *channels_first)?;
            let tensor = importer.float(call, op, &[a, *tensor])?;
            Ok(Value::Computed { tensor, channels_first: *channels_first })
        }
        _ => Err(unsupported("arithmetic of constants")),
    }
}

/// The constant at `place`, in the layout of the tensor it goes with.
fn beside(
    importer: &mut Importer,
    call: &Call<'_>,
    place: usize,
    channels_first: bool,
) -> Result<TensorId> {
    let (shape, values) = call.floats(place)?;
    let value = match (values.len(), shape, channels_first) {
        (1, _, _) => Tensor::new([], values.to_vec())?,
        (_, [_, 1, 1] | [1, _, 1, 1], true) => Tensor::vector(values.to_vec()),
        (_, _, false) => call.constant(place)?.clone(),
        _ => return Err(unsupported(format!("a constant of shape {shape:?} beside an image"))),
    };
    importer.constant(call, "value", &value)
}

fn gemm(importer: &mut Importer, call: &Call<'_>) -> Result<Value> {
    let (x, _) = call.computed(0)?;
    let factors = [call.number("alpha", 1.0), call.number("beta", 1.0)];
    if factors != [1.0, 1.0] || call.int("transA", 0) != 0 {
        return Err(unsupported(format!("alpha, beta {factors:?} or transA")));
    }
    let y = product(importer, call, x, call.int("transB", 0) != 0)?;
    if !call.has(2) {
        return plain(y);
    }
    let (_, bias) = call.floats(2)?;
    let bias = importer.constant(call, "bias", &Tensor::vector(bias.to_vec()))?;
    plain(importer.float(call, "BiasAdd", &[y, bias])?)
}

fn mat_mul(importer: &mut Importer, call: &Call<'_>) -> Result<Value> {
    let (x, _) = call.computed(0)?;
    plain(product(importer, call, x, false)?)
}

fn product(
    importer: &mut Importer,
    call: &Call<'_>,
    x: TensorId,
    transposed: bool,
) -> Result<TensorId> {
    let mut weights = call.constant(1)?.clone();
    if transposed {
        weights = sizes::turned(&weights, &[1, 0])?;
    }
    let weights = importer.constant(call, "weights", &weights)?;
    importer.float(call, "MatMul", &[x, weights])
}

fn reshape(importer: &mut Importer, call: &Call<'_>) -> Result<Value> {
    if let Value::Constant(value) = call.input(0)? {
        return sizes::constant_of(value, &call.ints("shape", 1)?.unwrap_or_default());
    }
    let (x, channels_first) = call.computed(0)?;
    let target = match (call.attribute("shape"), call.inputs.get(1)) {
        (None, Some(Some(Value::Sizes(sizes)))) => {
            if *sizes == importer.sizes(x, channels_first)? {
                return call.input(0).cloned();
            }
            sizes.iter().map(|size| size.unwrap_or(-1)).collect()
        }
        _ => call.ints("shape", 1)?.unwrap_or_default(),
    };
    if target.iter().filter(|&&dim| dim == -1).count() > 1 {
        return Err(unsupported(format!("to {target:?}: more than one dimension is open")));
    }
    match (channels_first, target.as_slice(), importer.one_pixel(x)) {
        (true, [_, _, 1, 1], Some(_)) => image(x),
        (true, [_, _], Some(channels)) => rows(importer, call, x, channels),
        (true, target, _) => Err(unsupported(format!("an image as {target:?}"))),
        (false, &[_, channels, 1, 1], _)
            if importer.dim(x, 1).is_some_and(|c| c as i64 == channels || channels <= 0) =>
        {
            pixel(importer, call, x)
        }
        (false, [_, rest @ ..], _) => {
            let mut dims = vec![-1];
            for &dim in rest {
                dims.push(i32::try_from(dim).map_err(|_| unsupported(format!("to {target:?}")))?);
            }
            if rest.iter().any(|&dim| dim <= 0) {
                return Err(unsupported(format!("to {target:?}: only the first may be open")));
            }
            plain(reshaped(importer, call, x, &dims)?)
        }
        (false, [], _) => Err(unsupported("to a scalar")),
    }
}

fn reshaped(
    importer: &mut Importer,
    call: &Call<'_>,
    x: TensorId,
    dims: &[i32],
) -> Result<TensorId> {
    let shape = importer.ints(call, "shape", dims)?;
    let attributes = Attributes::new().with_dtype("T", DType::F32).with_dtype("Tshape", DType::I32);
    importer.add(call.name(), "Reshape", attributes, &[x, shape])
}

/// An image of one pixel as `[n, channels]`.
fn rows(importer: &mut Importer, call: &Call<'_>, x: TensorId, channels: usize) -> Result<Value> {
    let channels = i32::try_from(channels).map_err(|_| unsupported("too many channels"))?;
    plain(reshaped(importer, call, x, &[-1, channels])?)
}

/// `[n, channels]` as an image of one pixel.
fn pixel(importer: &mut Importer, call: &Call<'_>, x: TensorId) -> Result<Value> {
    let channels = importer.dim(x, 1).and_then(|channels| i32::try_from(channels).ok());
    let channels = channels.ok_or_else(|| unsupported("an unknown number of channels"))?;
    image(reshaped(importer, call, x, &[-1, 1, 1, channels])?)
}

fn flatten(importer: &mut Importer, call: &Call<'_>) -> Result<Value> {
    let (x, channels_first) = call.computed(0)?;
    let rank = importer.graph.fact(x).shape.rank();
    match (call.int("axis", 1), channels_first, rank, importer.one_pixel(x)) {
        (1, false, Some(2), _) => plain(x),
        (1, _, Some(4), Some(channels)) => rows(importer, call, x, channels),
        _ => Err(unsupported("flattening more than one pixel")),
    }
}

fn squeeze(importer: &mut Importer, call: &Call<'_>) -> Result<Value> {
    if let Value::Sizes(_) = call.input(0)? {
        return call.input(0).cloned();
    }
    let (x, channels_first) = call.computed(0)?;
    let axes = match (call.ints("axes", 1)?, importer.one_pixel(x)) {
        (None, Some(channels)) => return rows(importer, call, x, channels),
        (axes, _) => normal(&axes.unwrap_or_default()),
    };
    match (channels_first, axes.as_slice()) {
        (true, [2, 3]) | (false, [1, 2]) => {
            let attributes =
                Attributes::new().with_dtype("T", DType::F32).with_ints("squeeze_dims", &[1, 2]);
            plain(importer.add(call.name(), "Squeeze", attributes, &[x])?)
        }
        (_, axes) => Err(unsupported(format!("axes {axes:?}"))),
    }
}

fn unsqueeze(importer: &mut Importer, call: &Call<'_>) -> Result<Value> {
    match call.input(0)? {
        Value::Sizes(_) => return call.input(0).cloned(),
        // Numbers of sizes: a scalar and a vector of one are the same here.
        Value::Constant(value) if value.len() == 1 => return sizes::constant_of(value, &[1]),
        _ => {}
    }
    let (x, channels_first) = call.computed(0)?;
    let axes = normal(&call.ints("axes", 1)?.unwrap_or_default());
    match (channels_first, axes.as_slice()) {
        (false, [2, 3]) => pixel(importer, call, x),
        (false, [1, 2]) => {
            let channels = importer.dim(x, 1).and_then(|channels| i32::try_from(channels).ok());
            let channels = channels.ok_or_else(|| unsupported("an unknown number of channels"))?;
            plain(reshaped(importer, call, x, &[-1, 1, 1, channels])?)
        }
        (_, axes) => Err(unsupported(format!("axes {axes:?}"))),
    }
}

fn softmax(importer: &mut Importer, call: &Call<'_>) -> Result<Value> {
    let (x, channels_first) = call.computed(0)?;
    let rank = importer.graph.fact(x).shape.rank();
    match (call.int("axis", -1), channels_first, rank) {
        (1 | -1, false, Some(2)) => {}
        (1, true, _) | (3 | -1, false, _) if importer.one_pixel(x).is_some() => {}
        (axis, _, rank) => return Err(unsupported(format!("axis {axis} of rank {rank:?}"))),
    }
    let tensor = importer.float(call, "Softmax", &[x])?;
    Ok(Value::Computed { tensor, channels_first })
}

fn transpose(importer: &mut Importer, call: &Call<'_>) -> Result<Value> {
    let perm = call.attribute("perm").map_or(&[][..], |found| &found.ints);
    if let Value::Constant(value) = call.input(0)? {
        return Ok(Value::Constant(Arc::new(sizes::turned(value, perm)?)));
    }
    let (x, channels_first) = call.computed(0)?;
    match (perm, channels_first, importer.one_pixel(x)) {
        ([0, 3, 1, 2], false, _) => image(x),
        ([0, 2, 3, 1], true, _) => plain(x),
        ([0, 1, 2, 3] | [0, 1], _, _) => call.input(0).cloned(),
        (perm, _, _) => Err(unsupported(format!("perm {perm:?}"))),
    }
}
