//! The other commands: embed, inspect, bench, fetch, cache, completions, man, and help of all.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

mod support;

use mobilenet::builder::MobilenetV1;
use mobilenet::{ExportFormat, Module};
use mobilenet_formats::archive::{self, Compression};
use mobilenet_formats::tensorflow::HubModule;
use serde_json::Value;
use support::{World, npy, read_npy};

fn json(ran: &support::Ran) -> Value {
    assert_eq!(ran.status, 0, "{}", ran.stderr);
    serde_json::from_str(&ran.stdout).unwrap()
}

#[test]
fn embed_writes_a_row_an_image_and_n_rows_an_array() {
    let world = World::new();
    world.write("images.npy", &npy(3, |i| (i % 7) as f32 / 7.0));
    let ran = world.run(&[
        "embed",
        "a.bmp",
        "images.npy",
        "gone.bmp",
        "b.bmp",
        "--out",
        "v.npy",
        "--paths",
        "p.txt",
    ]);
    assert_eq!(ran.status, 1, "{}", ran.stderr);
    let rows = read_npy(&world.path("v.npy"));
    assert_eq!(rows.shape(), [5, 256]);
    let paths = std::fs::read_to_string(world.path("p.txt")).unwrap();
    assert_eq!(paths, "a.bmp\nimages.npy\nimages.npy\nimages.npy\nb.bmp\n");

    let single = world.run(&["embed", "b.bmp", "--out", "b.npy"]);
    assert_eq!(single.status, 0);
    let alone = read_npy(&world.path("b.npy"));
    assert_eq!(alone.as_f32().unwrap(), &rows.as_f32().unwrap()[4 * 256..]);
}

/// Calibration needs no classes: a plain folder of photos will do.
#[test]
fn quantize_takes_a_plain_folder_and_convert_takes_its_bytes_further() {
    let world = World::new();
    for (name, shade) in [("1.bmp", 20), ("2.bmp", 120), ("3.bmp", 220)] {
        world.write(&format!("photos/{name}"), &support::bmp(40, 30, shade));
    }
    let quantize = ["quantize", "--calibration", "photos", "--out", "small.tflite", "--json"];
    let report = json(&world.run(&quantize));
    assert_eq!((&report["calibrated_on"], &report["images"]), (&3.into(), &3.into()));
    assert_eq!(report["accuracy"], Value::Null);

    let bytes = |name: &str| std::fs::read(world.path(name)).unwrap();
    for (from, to) in [
        ("small.tflite", "again.tflite"),
        ("small.tflite", "small.tar.gz"),
        ("small.tar.gz", "back.tflite"),
    ] {
        let report = json(&world.run(&["convert", from, to, "--json"]));
        assert_eq!(report["largest_difference"].as_f64(), Some(0.0), "{from} to {to}");
        assert!(bytes(to).len() < 2 * bytes("small.tflite").len(), "{to}");
    }
    for (out, said) in [
        ("x.onnx", ["(UniformQuantize)", "write a frozen graph, a SavedModel or a hub module"]),
        ("x.npz", ["(UniformQuantize)", "write a frozen graph, a SavedModel or a hub module"]),
        ("x.ckpt", ["(UniformQuantize)", "write a frozen graph, a SavedModel or a hub module"]),
    ] {
        let ran = world.run(&["convert", "small.tflite", out]);
        assert_ne!(ran.status, 0);
        assert!(said.iter().all(|said| ran.stderr.contains(said)), "{out}: {}", ran.stderr);
    }
    let halves = world.run(&["convert", "small.tflite", "x", "--to", "tflite-f16"]);
    assert!(
        halves.stderr.contains("write `tflite`, which keeps its integers"),
        "{}",
        halves.stderr
    );
    let twice = world.run(&[
        "quantize",
        "--module",
        "small.tflite",
        "--calibration",
        "photos",
        "--out",
        "x",
    ]);
    assert!(twice.stderr.contains("8 bits already"), "{}", twice.stderr);
    let empty = world.write("empty/notes.txt", b"");
    let empty = empty.parent().unwrap().to_str().unwrap();
    let ran = world.run(&["quantize", "--calibration", empty, "--out", "x.tflite"]);
    assert!(ran.stderr.contains("no images: none ends in .jpg"), "{}", ran.stderr);
}

fn network(configurable: bool) -> HubModule {
    let tiny = MobilenetV1::new(0.25, [32, 32]);
    let network = MobilenetV1 { classes: Some(7), configurable, ..tiny };
    network.module(|variable| variable.initial_tensor(7)).unwrap()
}

const NAMES: &str = "a\nb\nc\nd\ne\nf\ng\n";

/// A world with a frozen graph of 7 classes, `nameless.pb`, `names.txt` for them, and `photos`.
fn nameless() -> World {
    let world = World::new();
    let hub = network(false).to_files().unwrap();
    world.write("nameless.tar", &archive::write(&hub, Compression::None).unwrap());
    assert_eq!(world.run(&["convert", "nameless.tar", "nameless.pb"]).status, 0);
    world.write("names.txt", NAMES.as_bytes());
    world.write("two.txt", b"a\nb\n");
    for (name, shade) in [("1.bmp", 20), ("2.bmp", 220)] {
        world.write(&format!("photos/{name}"), &support::bmp(40, 30, shade));
    }
    world
}

/// A format without a place for labels takes none along, and that is said; one that has a place, does.
#[test]
fn labels_that_convert_leaves_out_are_told() {
    let world = nameless();
    let convert = |out: &str, more: &[&str]| {
        let ran = world.run(&[&["convert", "nameless.tar", out, "--json"], more].concat());
        assert_eq!(ran.status, 0, "{}", ran.stderr);
        let left_out = json(&ran)["labels_left_out"].as_u64().unwrap();
        (left_out, ran.stderr.matches("has no place for the 7 labels of nameless.tar").count())
    };
    let labels = ["--labels", "names.txt"];
    for out in ["x.ckpt", "x.npz", "x.pb"] {
        assert_eq!(convert(out, &labels), (7, 1), "{out}");
        assert_eq!(convert(out, &[]), (0, 0), "{out}");
    }
    for out in ["x.safetensors", "x.onnx", "x.tflite", "x.tar.gz"] {
        assert_eq!(convert(out, &labels), (0, 0), "{out}");
    }
}

#[test]
fn files_with_labels_are_made_of_modules_without() {
    let world = nameless();
    let convert = ["convert", "nameless.pb", "x.tflite"];
    let quantize =
        ["quantize", "-m", "nameless.pb", "--calibration", "photos", "--out", "x.tflite"];
    for command in [&convert[..], &quantize] {
        let ran = world.run(command);
        assert!(ran.stderr.contains("7 classes and no names"), "{}", ran.stderr);
        assert!(ran.stderr.contains("--labels"), "{}", ran.stderr);
        let ran = world.run(&[command, &["--labels", "two.txt"]].concat());
        assert_eq!(ran.status, 2);
        assert!(ran.stderr.contains("two.txt: 2 labels for 7 classes"), "{}", ran.stderr);
        assert!(!world.path("x.tflite").exists(), "{command:?}");
        let ran = world.run(&[command, &["--labels", "names.txt"]].concat());
        assert_eq!(ran.status, 0, "{command:?}: {}", ran.stderr);
        let module = Module::load(world.path("x.tflite").to_str().unwrap()).unwrap();
        let labels = module.own_labels().unwrap().unwrap();
        assert!(labels.iter().eq(NAMES.lines()), "{labels:?}");
        std::fs::remove_file(world.path("x.tflite")).unwrap();
    }
}

#[test]
fn networks_of_8_bits_take_labels() {
    let world = nameless();
    let classify =
        ["classify", "a.bmp", "--jsonl", "-m", "nameless.pb", "--calibration", "photos", "-n", "7"];
    let precisions = [&["--precision", "int8"][..], &["--precision", "auto", "--max-loss", "100"]];
    for precision in precisions {
        let named = &["--labels", "names.txt"][..];
        let ran = world.run(&[&classify[..], precision, named].concat());
        assert_eq!(ran.status, 0, "{precision:?}: {}", ran.stderr);
        let predictions = ran.json_lines().remove(0)["predictions"].clone();
        let label = |of: &Value| of["label"].as_str().unwrap().to_owned();
        let mut labels: Vec<_> = predictions.as_array().unwrap().iter().map(label).collect();
        labels.sort_unstable();
        assert_eq!(labels, NAMES.lines().collect::<Vec<_>>(), "{precision:?}");
    }
}

/// The graph takes images of any size, and does not say which it is for: nothing to compare with.
#[test]
fn what_convert_cannot_compare_takes_no_place() {
    let world = World::new();
    let module = Module::options().load_files(network(true).to_files().unwrap(), None).unwrap();
    let frozen = module.export(ExportFormat::FrozenGraph, "x").unwrap();
    let mut frozen = frozen.get("x").unwrap().to_vec();
    let key = b"_image_size";
    let at = frozen.windows(key.len()).position(|part| part == key).unwrap();
    frozen[at + 1] = b'I';
    world.write("sizeless.pb", &frozen);
    world.write("there.pb", b"before");
    let files = || {
        let all = std::fs::read_dir(world.path(".")).unwrap();
        let mut all: Vec<_> = all.map(|entry| entry.unwrap().file_name()).collect();
        all.sort_unstable();
        all
    };
    let before = files();
    for out in ["new.pb", "there.pb"] {
        let ran = world.run(&["convert", "sizeless.pb", out]);
        assert_eq!(ran.status, 2);
        let said = format!("{out} was not written, for it could not be loaded and compared: ");
        assert!(ran.stderr.contains(&said), "{}", ran.stderr);
        assert!(ran.stderr.contains("what size of images"), "{}", ran.stderr);
    }
    assert_eq!(files(), before);
    assert_eq!(std::fs::read(world.path("there.pb")).unwrap(), b"before");
}

#[test]
fn embed_gives_any_signature_and_output() {
    let world = World::new();
    world.write("images.npy", &npy(2, |_| 0.5));
    let shape = |arguments: &[&str]| {
        let ran = world.run(&[&["embed", "images.npy", "--out", "o.npy"], arguments].concat());
        assert_eq!(ran.status, 0, "{}", ran.stderr);
        read_npy(&world.path("o.npy")).shape().to_vec()
    };
    assert_eq!(shape(&["--signature", "image_classification"]), [2, 5]);
    assert_eq!(shape(&["--signature", "default"]), [2, 5]);
    assert_eq!(shape(&["--output", "MobilenetV1/Conv2d_0"]), [2, 16, 16, 8]);
    let normal =
        world.run(&["embed", "a.bmp", "--l2-normalize", "--out", "-", "--format", "jsonl"]);
    let row = &normal.json_lines()[0];
    assert_eq!((row["path"].as_str(), &row["shape"]), (Some("a.bmp"), &Value::from(vec![256])));
    let values = row["embedding"].as_array().unwrap();
    let length: f64 = values.iter().map(|v| v.as_f64().unwrap().powi(2)).sum();
    assert!((length - 1.0).abs() < 1e-5, "{length}");
}

#[test]
fn embed_writes_csv_and_npy_to_stdout_and_nothing_half_made() {
    let world = World::new();
    let csv = world.run(&["embed", "a.bmp", "b.bmp", "--out", "-", "--format", "csv"]);
    let lines: Vec<_> = csv.stdout.lines().collect();
    assert!(lines[0].starts_with("path,row,0,1,2,") && lines[1].starts_with("a.bmp,0,"));
    assert_eq!((lines.len(), lines[2].split(',').count()), (3, 258));
    let to_stdout = world.command(&["embed", "a.bmp", "--out", "-", "--format", "npy"]).output();
    world.run(&["embed", "a.bmp", "--out", "a.npy"]);
    assert_eq!(to_stdout.unwrap().stdout, std::fs::read(world.path("a.npy")).unwrap());

    let nothing = world.run(&["embed", "gone.bmp", "--out", "none.npy"]);
    assert_eq!(nothing.status, 1);
    assert_eq!(read_npy(&world.path("none.npy")).shape(), [0, 256]);
    let left: Vec<_> = std::fs::read_dir(world.path(".")).unwrap().flatten().collect();
    assert!(left.iter().all(|f| !f.file_name().to_string_lossy().contains(".tmp")));
}

#[test]
fn parquet_holds_the_rows_of_npy() {
    use parquet::file::reader::{FileReader, SerializedFileReader};
    use parquet::record::RowAccessor;

    let world = World::new();
    world.write("images.npy", &npy(2, |i| (i % 5) as f32 / 5.0));
    for out in ["v.parquet", "v.npy"] {
        let ran = world.run(&["embed", "a.bmp", "images.npy", "--out", out]);
        assert_eq!(ran.status, 0, "{}", ran.stderr);
    }
    let vectors = read_npy(&world.path("v.npy"));
    let file = std::fs::File::open(world.path("v.parquet")).unwrap();
    let reader = SerializedFileReader::new(file).unwrap();
    let keys = reader.metadata().file_metadata().key_value_metadata().unwrap().clone();
    assert!(keys.iter().any(|key| key.key == "shape" && key.value.as_deref() == Some("[256]")));
    let rows: Vec<_> = reader.get_row_iter(None).unwrap().map(Result::unwrap).collect();
    let wanted = [("a.bmp", 0), ("images.npy", 0), ("images.npy", 1)];
    assert_eq!(rows.len(), wanted.len());
    for ((row, (path, place)), vector) in
        rows.iter().zip(wanted).zip(vectors.as_f32().unwrap().chunks(256))
    {
        assert_eq!((row.get_string(0).unwrap().as_str(), row.get_int(1).unwrap()), (path, place));
        let values: Vec<f32> = row
            .get_list(2)
            .unwrap()
            .elements()
            .iter()
            .map(|field| match field {
                parquet::record::Field::Float(value) => *value,
                other => panic!("{other}"),
            })
            .collect();
        assert_eq!(values, vector);
    }
    let none = world.run(&["embed", "gone.bmp", "--out", "none.parquet"]);
    assert_eq!(none.status, 1);
    let empty = std::fs::File::open(world.path("none.parquet")).unwrap();
    let empty = SerializedFileReader::new(empty).unwrap();
    assert_eq!(empty.metadata().file_metadata().num_rows(), 0);
}

#[test]
fn embed_refuses_what_cannot_be_meant() {
    let world = World::new();
    world.write("bytes.npy", &npy(1, |i| (i % 256) as f32));
    world.write("short.npy", b"\x93NUMPY");
    let ran = world.run(&["embed", "bytes.npy", "short.npy", "--out", "o.npy"]);
    assert_eq!(ran.status, 1);
    assert!(ran.stderr.contains("Divide by 255"), "{}", ran.stderr);
    assert!(ran.stderr.contains("short.npy: "), "{}", ran.stderr);
    for (arguments, says) in [
        (&["embed", "a.bmp"][..], "--out"),
        (&["embed", "a.bmp", "--out", "v.xls"], "--format npy|csv|jsonl|parquet"),
        (&["embed", "a.bmp", "--out", "no/such/folder/v.npy"], "cannot write"),
        (&["embed", "a.bmp", "--out", "v.npy", "--signature", "x"], "image_feature_vector"),
        (&["embed", "a.bmp", "--out", "v.npy", "--output", "x"], "MobilenetV1/"),
    ] {
        let ran = world.run(arguments);
        assert_eq!(ran.status, 2, "{arguments:?} {}", ran.stderr);
        assert!(ran.stderr.contains(says), "{arguments:?}: {}", ran.stderr);
    }
}

#[test]
fn inspect_shows_the_card_and_every_stage() {
    let world = World::new();
    let card = json(&world.run(&["inspect", "--json"]));
    assert_eq!(card["image_size"]["height"], 32);
    assert_eq!(card["tag_sets"], serde_json::json!([[], ["train"]]));
    assert_eq!(card["labels"], 5);
    assert_eq!(card["sha256"].as_str().unwrap().len(), 64);
    let names: Vec<_> = card["signatures"].as_array().unwrap().iter().map(|s| &s["name"]).collect();
    assert_eq!(names, ["default", "image_classification", "image_feature_vector"]);
    assert!(card["cost"]["multiply_adds"].as_u64().unwrap() > 100_000);

    let files = json(&world.run(&["inspect", "--stage", "files", "--json"]));
    let paths: Vec<_> = files["files"].as_array().unwrap().iter().map(|f| &f["path"]).collect();
    assert!(paths.iter().any(|path| *path == "saved_model.pb"));
    let graph = json(&world.run(&["inspect", "module.tar", "--stage", "graph", "--json"]));
    assert!(graph["nodes"].as_array().unwrap().iter().any(|n| n["op"] == "Conv2D"));
    let train = json(&world.run(&["inspect", "--stage", "graph", "--tags", "train", "--json"]));
    assert_eq!(train["tags"], serde_json::json!(["train"]));
    let plan = json(&world.run(&["inspect", "--stage", "plan", "--isa", "portable", "--json"]));
    assert_eq!(plan["isa"], "portable");
    let work = |step: &Value| step["multiply_adds"].as_u64().unwrap();
    let steps = plan["steps"].as_array().unwrap();
    assert_eq!(steps.iter().map(work).sum::<u64>(), plan["multiply_adds"].as_u64().unwrap());
    for stage in ["files", "graph", "plan"] {
        assert_eq!(world.run(&["inspect", "--stage", stage]).status, 0);
    }
    let text = world.run(&["inspect"]).stdout;
    assert!(text.contains("--all lists them") && text.contains("[?, 32, 32, 3]"), "{text}");
    assert!(world.run(&["inspect", "--all"]).stdout.contains("MobilenetV1/Conv2d_13_pointwise"));
}

#[test]
fn bench_prints_the_promised_object() {
    let world = World::new();
    let arguments = ["bench", "--batch", "2", "--threads", "1", "--seconds", "0", "--json"];
    let measured = json(&world.run(&arguments));
    for key in ["min", "median", "p90", "p99"] {
        assert!(measured["latency_us"][key].as_f64().unwrap() > 0.0, "{key}");
    }
    assert!(measured["images_per_second"].as_f64().unwrap() > 0.0);
    assert_eq!((&measured["batch"], &measured["threads"]), (&2.into(), &1.into()));
    assert_eq!(measured["profile"], Value::Null);
    let text = world.run(&["bench", "--seconds", "0"]);
    assert_eq!(text.status, 0, "{}", text.stderr);
    for part in ["Conv2d_0", "images/s", "of peak", "the peak of one core is"] {
        assert!(text.stdout.contains(part), "{part}: {}", text.stdout);
    }
}

/// Threads share the images of a batch, so that no step has a time: of one image it has.
#[test]
fn bench_profiles_steps_against_the_peak_of_what_they_multiply() {
    let world = World::new();
    for (name, shade) in [("1.bmp", 20), ("2.bmp", 120), ("3.bmp", 220)] {
        world.write(&format!("photos/{name}"), &support::bmp(40, 30, shade));
    }
    let quantize = ["quantize", "--calibration", "photos", "--out", "small.tflite"];
    assert_eq!(world.run(&quantize).status, 0);
    let bytes = ["--module", "small.tflite"];
    for (flags, on) in [
        (&["--threads", "2"][..], (1, 2)),
        (&["--batch", "4", "--threads", "2"], (1, 1)),
        (&["--train", "--batch", "2", "--threads", "2"], (2, 2)),
        (&bytes[..], (1, 0)),
    ] {
        let all = [&["bench", "--seconds", "0", "--profile", "--json"], flags].concat();
        let measured = json(&world.run(&all));
        assert!(measured["peak_gflops"].as_f64().unwrap() > 0.0, "{flags:?}");
        assert_eq!(measured["profile_batch"], on.0, "{flags:?}");
        assert!(on.1 == 0 || measured["profile_threads"] == on.1, "{flags:?}");
        let steps = measured["profile"].as_array().unwrap();
        let works = |step: &&Value| step["multiply_adds"].as_u64().unwrap() > 0;
        assert!(steps.iter().filter(works).count() > 10, "{steps:?}");
        for step in steps {
            let share = step["of_peak"].as_f64().unwrap();
            assert!((0.0..=1.5).contains(&share), "{flags:?} {step}");
            assert!(!works(&step) || step["microseconds"].as_f64().unwrap() > 0.0, "{step}");
        }
        let largest = steps.iter().max_by_key(|step| step["multiply_adds"].as_u64()).unwrap();
        assert!(largest["of_peak"].as_f64().unwrap() > 0.0, "{flags:?} {largest}");
    }
}

#[test]
fn bench_of_training_prints_the_object_that_bench_prints() {
    let world = World::new();
    let small = ["--batch", "2", "--threads", "1", "--seconds", "0", "--json"];
    let inference = json(&world.run(&[&["bench"], &small[..]].concat()));
    let training = json(&world.run(&[&["bench", "--train"], &small[..]].concat()));
    let keys = |object: &Value| object.as_object().unwrap().keys().cloned().collect::<Vec<_>>();
    assert_eq!(keys(&training), keys(&inference));
    assert_eq!(keys(&training["latency_us"]), keys(&inference["latency_us"]));
    let work = |object: &Value| object["multiply_adds"].as_u64().unwrap();
    assert!(work(&training) > 2 * work(&inference), "forward, and backward twice");
    let profiled = world.run(&[&["bench", "--train", "--profile"], &small[..]].concat());
    let steps = json(&profiled)["profile"].as_array().unwrap().len();
    assert!(steps > 100, "{steps}");
    let text = world.run(&["bench", "--train", "--batch", "2", "--seconds", "0"]);
    assert!(text.stdout.contains("images/s") && text.stdout.contains("layer_grad"));
}

#[test]
fn the_cache_is_listed_verified_and_emptied() {
    let world = World::new();
    assert_eq!(json(&world.run(&["cache", "list", "--json"])), serde_json::json!([]));
    assert_eq!(world.run(&["cache", "verify"]).status, 0);
    assert_eq!(world.run(&["cache", "remove", "--all"]).status, 0);
    assert_eq!(world.run(&["cache", "remove"]).status, 2);
    let missing = world.run(&["cache", "remove", "https://tfhub.dev/x/1"]);
    assert_eq!(missing.status, 2);
    assert!(missing.stderr.contains("not in the cache"));
    assert_eq!(world.run(&["fetch", "module.tar"]).stdout, "module.tar\n");
    assert_eq!(world.run(&["fetch", "https://tfhub.dev/x/1"]).status, 2);
}

#[test]
fn completions_and_manual_pages_are_complete() {
    let world = World::new();
    for shell in ["bash", "zsh", "fish", "powershell", "elvish"] {
        let ran = world.run(&["completions", shell]);
        assert_eq!(ran.status, 0);
        assert!(ran.stdout.contains("l2-normalize"), "{shell}");
    }
    assert!(world.run(&["man"]).stdout.contains(".TH mobilenet"));
    assert_eq!(world.run(&["man", "--out", "pages"]).status, 0);
    for page in ["mobilenet.1", "mobilenet-classify.1", "mobilenet-cache-list.1"] {
        assert!(world.path("pages").join(page).is_file(), "{page}");
    }
}

#[test]
fn help_of_every_command_teaches_by_example() {
    let world = World::new();
    let listed = world.run(&["--help"]).stdout;
    let listed = listed.split_once("Commands:\n").unwrap().1.split_once("\n\n").unwrap().0;
    let names = listed.lines().filter(|line| line.starts_with("  ") && !line.starts_with("   "));
    let names: Vec<_> = names.filter_map(|line| line.split_whitespace().next()).collect();
    assert!(names.len() >= 17, "{names:?}");
    let commands = names.iter().filter(|name| **name != "help").map(|name| vec![*name]);
    let below = ["list", "verify", "remove"].map(|name| vec!["cache", name]);
    for command in commands.chain(below) {
        for flag in ["-h", "--help"] {
            let ran = world.run(&[&command[..], &[flag]].concat());
            assert_eq!(ran.status, 0);
            assert!(ran.stdout.contains("Examples:\n  mobilenet"), "{command:?} {flag}");
            let widest = ran.stdout.lines().map(|line| line.chars().count()).max();
            assert!(widest <= Some(100), "{command:?} {flag}: {widest:?}");
        }
    }
    let help = world.run(&["classify", "--help"]).stdout;
    assert!(help.contains("148 of 183"), "how far --decode fast agrees");
    let version = world.run(&["--version"]).stdout;
    assert_eq!(version, format!("mobilenet {}\n", env!("CARGO_PKG_VERSION")));
}

#[test]
fn kernels_are_timed_and_the_pick_is_marked() {
    let world = World::new();
    for arguments in [&["--multiplier", "0.5", "--size", "32"][..], &[]] {
        let flags = [&["kernels", "--seconds", "0", "--json"], arguments].concat();
        let answer = json(&world.run(&flags));
        assert!(answer["peak_gflops"].as_f64().unwrap() > 0.0);
        let layers = answer["layers"].as_array().unwrap();
        assert!(layers.len() > 8, "{answer}");
        for layer in layers {
            let kernels = layer["kernels"].as_array().unwrap();
            assert_eq!(kernels.iter().filter(|kernel| kernel["picked"] == true).count(), 1);
            assert!(kernels.iter().all(|kernel| kernel["microseconds"].as_f64().unwrap() > 0.0));
        }
    }
    let text = world.run(&["kernels", "--seconds", "0"]);
    assert!(text.stdout.contains("\n*"), "{}", text.stdout);
}

#[test]
fn kernels_of_a_multiplier_know_no_module_and_mark_what_tune_kept() {
    let world = World::new();
    for (flags, says) in [
        (&["--multiplier", "0.5", "--module", "other.tar"][..], "instead of --module"),
        (&["--size", "32", "-m", "other.tar"], "instead of --module"),
        (&["--size", "32", "--precision", "int8"], "those of f32"),
        (&["--size", "32", "--tags", "train"], "--tags"),
    ] {
        let ran = world.run(&[&["kernels", "--seconds", "0"], flags].concat());
        assert_eq!(ran.status, 2, "{flags:?}");
        assert!(ran.stderr.contains(says), "{flags:?}: {}", ran.stderr);
    }

    let family = ["kernels", "--seconds", "0", "--size", "32", "--json"];
    let answer = json(&world.run(&family));
    assert_eq!(world.run(&["tune", "--seconds", "0"]).status, 0);
    let kept = std::fs::read_dir(world.path("cache/tuning")).unwrap().next().unwrap().unwrap();
    let isa = answer["isa"].as_str().unwrap();
    let names = answer["layers"].as_array().unwrap().iter().map(|l| l["layer"].as_str().unwrap());
    let lines = names.filter(|name| name.starts_with("separable"));
    let lines: String = lines.map(|name| format!("{isa} {name}\t- 1\n")).collect();
    std::fs::write(kept.path(), lines).unwrap();
    let answer = json(&world.run(&family));
    let kernels = answer["layers"].as_array().unwrap().iter().flat_map(|layer| {
        let separable = layer["layer"].as_str().unwrap().starts_with("separable");
        layer["kernels"].as_array().unwrap().iter().filter(move |_| separable)
    });
    let picked: Vec<_> = kernels.filter(|kernel| kernel["picked"] == true).collect();
    assert!(picked.len() > 5, "{answer}");
    assert!(picked.iter().all(|kernel| kernel["strip_rows"] == 1), "{picked:?}");
}

#[test]
fn variables_stand_in_for_flags_and_errors_name_them() {
    let world = World::new();
    let with = |variable: &str, value: &str, flags: &[&str]| {
        let plan = ["inspect", "--stage", "plan", "--json"];
        let mut command = world.command(&[&plan[..], flags].concat());
        let output = command.env(variable, value).stdin(std::process::Stdio::null()).output();
        let output = output.unwrap();
        let plan: Value = serde_json::from_slice(&output.stdout).unwrap_or_default();
        let isa = plan["isa"].as_str().unwrap_or_default().to_owned();
        (isa, String::from_utf8(output.stderr).unwrap())
    };
    let best = mobilenet::Isa::detect().name();
    assert_eq!(with("MOBILENET_ISA", "portable", &[]).0, "portable");
    assert_eq!(with("MOBILENET_ISA", "portable", &["--isa", best]).0, best);
    for variable in ["MOBILENET_ISA", "MOBILENET_THREADS", "MOBILENET_PRECISION"] {
        assert_eq!(with(variable, "", &[]).0, best, "{variable}");
        let (isa, stderr) = with(variable, "0", &[]);
        let names = format!("environment variable {variable}");
        assert!(isa.is_empty() && stderr.contains(&names), "{stderr}");
    }
    let (isa, stderr) = with("MOBILENET_ISA", "portable", &["--isa", "sse9"]);
    assert!(isa.is_empty() && !stderr.contains("variable"), "{stderr}");
    let (_, stderr) = with("MOBILENET_ISA", "", &["--threads", "0"]);
    assert!(stderr.contains("a whole number, at least 1") && !stderr.contains("variable"));
}

#[test]
fn tune_keeps_its_choices_in_the_cache_and_forgets_them() {
    let world = World::new();
    let folder = world.path("cache/tuning");
    let answer = json(&world.run(&["tune", "--seconds", "0", "--dry-run", "--json"]));
    assert!(answer["before_us"].as_f64().unwrap() > 0.0, "{answer}");
    assert!(!folder.exists());
    let before = world.run(&["classify", "a.bmp", "--json"]);
    let ran = world.run(&["tune", "--seconds", "0"]);
    assert_eq!(ran.status, 0, "{}", ran.stderr);
    assert_eq!(std::fs::read_dir(&folder).unwrap().count(), 1);
    assert_eq!(world.run(&["classify", "a.bmp", "--json"]).status, before.status);
    assert_eq!(world.run(&["tune", "--clear"]).status, 0);
    assert_eq!(std::fs::read_dir(&folder).unwrap().count(), 0);
}
