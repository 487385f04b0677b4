//! `mobilenet evaluate` and `mobilenet explain` from outside: numbers, formats, exit statuses.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod support;

use mobilenet_formats::tfrecord::RecordWriter;
use mobilenet_formats::tfrecord::example::Example;
use serde_json::Value;
use support::{LABELS, Ran, World, bmp, read_npy};

/// Photos of two classes, in folders, with what `classify` takes each for.
fn data(world: &World) -> Vec<(String, usize)> {
    let mut truth = Vec::new();
    for (class, label) in [("dog", 2), ("tabby_cat", 1)] {
        for number in 0..6u8 {
            let path = format!("data/{class}/{number}.bmp");
            world.write(&path, &bmp(24 + u32::from(number) * 9, 30, number * 40 + label as u8));
            truth.push((path, label));
        }
    }
    world.write("data/notes.txt", b"not a photo");
    truth
}

fn json(ran: &Ran) -> Value {
    assert_eq!(ran.status, 0, "{}", ran.stderr);
    serde_json::from_str(&ran.stdout).unwrap()
}

fn predicted(line: &Value) -> usize {
    line["predictions"][0]["index"].as_u64().unwrap() as usize
}

#[test]
fn the_numbers_are_those_of_classify() {
    let world = World::new();
    let truth = data(&world);
    let paths: Vec<&str> = truth.iter().map(|(path, _)| path.as_str()).collect();
    let lines = world.run(&[&["classify", "--jsonl"], &paths[..]].concat()).json_lines();
    let right = lines.iter().zip(&truth).filter(|(line, (_, label))| predicted(line) == *label);
    let top_1 = right.count() as f64 / truth.len() as f64;

    let ran = world.run(&["evaluate", "data", "--json"]);
    assert!(ran.stderr.contains("1 file is no photo"), "{}", ran.stderr);
    let object = json(&ran);
    assert_eq!((&object["n"], &object["failed"]), (&12.into(), &0.into()));
    assert_eq!(object["top1"].as_f64(), Some(top_1));
    assert_eq!(object["top5"].as_f64(), Some(1.0), "of five classes every one is among five");
    let indices: Vec<_> = object["confusion"]["indices"].as_array().unwrap().clone();
    let counts = object["confusion"]["counts"].as_array().unwrap();
    for (line, (_, label)) in lines.iter().zip(&truth) {
        let at = |class: usize| indices.iter().position(|index| *index == class).unwrap();
        assert!(counts[at(*label)][at(predicted(line))].as_u64() > Some(0));
    }
    let all: u64 =
        counts.iter().flat_map(|row| row.as_array().unwrap()).filter_map(Value::as_u64).sum();
    assert_eq!(all, 12);
    let bins = object["calibration"]["bins"].as_array().unwrap();
    assert_eq!(bins.iter().filter_map(|bin| bin["count"].as_u64()).sum::<u64>(), 12);
    assert!(object["calibration"]["temperature"].as_f64() > Some(0.0));
    let mistakes = object["mistakes"].as_array().unwrap();
    assert_eq!(mistakes.len(), 12 - (top_1 * 12.0).round() as usize);
    let sure: Vec<_> = mistakes.iter().map(|m| m["confidence"].as_f64().unwrap()).collect();
    assert!(sure.is_sorted_by(|a, b| a >= b));
}

#[test]
fn tables_and_tars_give_the_same_as_folders() {
    let world = World::new();
    let truth = data(&world);
    let folder = json(&world.run(&["evaluate", "data", "--json", "-q"]));
    let rows = truth.iter().map(|(path, label)| format!("{label},{path}\n")).collect::<String>();
    world.write("list.csv", format!("label,path\n{rows}").as_bytes());
    let mut files = mobilenet_formats::MemoryFiles::default();
    for (path, _) in &truth {
        files.insert(path, std::fs::read(world.path(path)).unwrap());
    }
    let tar =
        mobilenet_formats::archive::write(&files, mobilenet_formats::archive::Compression::None);
    world.write("data.tar", &tar.unwrap());
    for other in ["list.csv", "data.tar"] {
        let other = json(&world.run(&["evaluate", other, "--json", "--threads", "1"]));
        for key in ["n", "top1", "top5", "confusion", "calibration", "per_class"] {
            assert_eq!(other[key], folder[key], "{key}");
        }
    }
}

/// A photo for a shard: the file, the class's number, its name if the record has one.
type Photo = (Vec<u8>, usize, &'static str);

/// As TensorFlow's script for ImageNet writes them.
fn records(photos: &[Photo]) -> Vec<u8> {
    let mut writer = RecordWriter::new(Vec::new());
    for (file, number, name) in photos {
        let mut example = Example::default()
            .with_bytes("image/encoded", vec![file.clone().into()])
            .with_ints("image/class/label", vec![*number as i64]);
        if !name.is_empty() {
            example = example.with_bytes("image/class/text", vec![name.as_bytes().into()]);
        }
        writer.write(&example.to_record()).unwrap();
    }
    writer.into_inner()
}

fn web_dataset(photos: &[Photo]) -> Vec<u8> {
    let mut files = mobilenet_formats::MemoryFiles::default();
    for (place, (file, number, _)) in photos.iter().enumerate() {
        // What a picture is, its content decides.
        files.insert(format!("set/{place:03}.jpg"), file.clone());
        files.insert(format!("set/{place:03}.cls"), number.to_string());
    }
    mobilenet_formats::archive::write(&files, mobilenet_formats::archive::Compression::None)
        .unwrap()
}

/// The photos of [`data`] with other numbers and names for their classes.
fn photos(world: &World, class: impl Fn(usize) -> (usize, &'static str)) -> Vec<Photo> {
    let photo = |(path, label): (String, usize)| {
        let (number, name) = class(label);
        (std::fs::read(world.path(&path)).unwrap(), number, name)
    };
    data(world).into_iter().map(photo).collect()
}

#[test]
fn shards_give_the_same_as_folders() {
    let world = World::new();
    let own = photos(&world, |label| (label, ""));
    let less = photos(&world, |label| (label - 1, ""));
    let named = photos(&world, |label| (9 - label, ["", "tabby", "dog"][label]));
    let folder = json(&world.run(&["evaluate", "data", "--json", "-q"]));
    world.write("own.tfrecord", &records(&own));
    world.write("less.tfrecord", &records(&less));
    world.write("named", &records(&named));
    world.write("own.tar", &web_dataset(&own));
    world.write("less.tar", &web_dataset(&less));
    world.write("part-0.tar", &web_dataset(&own[..7]));
    world.write("part-1.tar", &web_dataset(&own[7..]));
    world.write("shards/train-00000-of-00001", b"not looked at");
    world.write("shards/validation-00000-of-00002", &records(&own[..5]));
    world.write("shards/validation-00001-of-00002", &records(&own[5..]));
    let all = ["own.tfrecord", "less.tfrecord", "named", "own.tar", "less.tar"];
    for data in all.into_iter().chain(["part-{0..1}.tar", "shards"]) {
        let object = json(&world.run(&["evaluate", data, "--json", "--threads", "2"]));
        assert_eq!(object["n"], 12, "{data}");
        for key in ["top1", "top5", "confusion", "calibration", "per_class"] {
            assert_eq!(object[key], folder[key], "{data} {key}");
        }
        let split = if data == "shards" { "validation".into() } else { Value::Null };
        assert_eq!(object["split"], split, "{data}");
    }
}

#[test]
fn classes_of_one_name_in_shards_are_told_apart_by_number() {
    let world = World::new();
    let photo = |number, name| (bmp(20, 20, number as u8 * 20), number, name);
    let evaluate = |photos: &[Photo]| {
        world.write("cranes.tfrecord", &records(photos));
        world.run(&["evaluate", "cranes.tfrecord", "--json"])
    };
    let counts = |photos: &[Photo]| -> Vec<Value> {
        let object = json(&evaluate(photos));
        let of = |class: u64| {
            let classes = object["per_class"].as_array().unwrap();
            let found = classes.iter().find(|found| found["index"] == class);
            found.map_or(0.into(), |found| found["n"].clone())
        };
        vec![of(3), of(4)]
    };
    let (bird, machine) = (photo(3, "crane"), photo(4, "crane"));
    assert_eq!(counts(&[bird.clone(), machine.clone(), machine.clone()]), [1, 2]);
    assert_eq!(counts(&[machine]), [0, 1]);
    assert_eq!(counts(&[photo(1, "dog"), photo(2, "crane"), photo(3, "crane")]), [1, 1]);
    let refused = evaluate(&[bird, photo(9, "crane")]);
    assert_eq!(refused.status, 2);
    assert!(refused.stderr.contains("could be the module's class 3 or 4"), "{}", refused.stderr);
}

#[test]
fn photos_in_shards_are_reported_as_files_are() {
    let world = World::new();
    let mut photos = photos(&world, |label| (label, ""));
    photos.push((b"\xff\xd8\xff\xe0 no".to_vec(), 2, ""));
    world.write("photos.tar", &web_dataset(&photos));
    world.write("photos.tfrecord", &records(&photos));
    for (data, broken) in [("photos.tar", "./set/012.jpg"), ("photos.tfrecord", "12")] {
        let ran = world.run(&["evaluate", data, "--json", "--html", "report.html"]);
        assert_eq!(ran.status, 1, "{}", ran.stderr);
        assert!(ran.stderr.contains("1 of 13 photos could not be read"), "{}", ran.stderr);
        let object: Value = serde_json::from_str(&ran.stdout).unwrap();
        let path = format!("{data}:{broken}");
        assert_eq!((&object["n"], &object["failed"]), (&12.into(), &1.into()));
        assert_eq!(object["failures"][0]["path"], path.as_str());
        let page = std::fs::read_to_string(world.path("report.html")).unwrap();
        assert!(page.contains(&path), "{path}");
        let mistakes = object["mistakes"].as_array().unwrap();
        assert!(!mistakes.is_empty(), "nothing to show");
        assert!(mistakes.iter().all(|mistake| mistake["path"].as_str().unwrap().contains(data)));
        for picture in ["alt=\"photo\"", "what spoke for the mistake"] {
            assert_eq!(page.matches(picture).count(), mistakes.len(), "{data} {picture}");
        }
    }
}

#[test]
fn restricting_to_the_datas_classes_leaves_no_others() {
    let world = World::new();
    data(&world);
    let arguments = ["evaluate", "data", "--json", "--restrict-to-data-classes", "--by-resize"];
    let object = json(&world.run(&arguments));
    assert_eq!(object["confusion"]["indices"], serde_json::json!([1, 2]));
    let all = json(&world.run(&["evaluate", "data", "--json"]));
    assert!(object["top1"].as_f64() >= all["top1"].as_f64());
    let by_resize = object["by_resize"].as_array().unwrap();
    assert!(by_resize.len() >= 10);
    let usual = by_resize.iter().find(|by| by["resize"] == "tf2-bilinear").unwrap();
    assert_eq!(usual["top1"], object["top1"]);
}

#[test]
fn unreadable_photos_are_counted_and_the_rest_goes_on() {
    let world = World::new();
    data(&world);
    world.write("data/dog/broken.jpg", b"\xff\xd8\xff\xe0 no");
    let ran = world.run(&["evaluate", "data", "--json"]);
    assert_eq!(ran.status, 1);
    assert!(ran.stderr.contains("1 of 13 photos could not be read"), "{}", ran.stderr);
    let object: Value = serde_json::from_str(&ran.stdout).unwrap();
    assert_eq!((&object["n"], &object["failed"]), (&12.into(), &1.into()));
    assert_eq!(object["failures"][0]["path"], "data/dog/broken.jpg");
}

#[test]
fn the_report_is_one_file_that_fetches_nothing() {
    let world = World::new();
    data(&world);
    world.write("log.jsonl", b"{\"epoch\":1,\"loss\":3.5}\n{\"epoch\":2,\"loss\":2.5}\n");
    let ran = world.run(&["evaluate", "data", "--html", "report.html", "--log", "log.jsonl"]);
    assert_eq!(ran.status, 0, "{}", ran.stderr);
    for part in ["top-1", "ECE", "\nConfusion (", "\nCalibration ("] {
        assert!(ran.stdout.contains(part), "{part}: {}", ran.stdout);
    }
    text_agrees_with_json(&world, &ran.stdout);
    let page = std::fs::read_to_string(world.path("report.html")).unwrap();
    for part in [
        "<h2>Training</h2>",
        "<h2>Confusion</h2>",
        "<h2>Calibration</h2>",
        "data:image/jpeg;base64,",
        "tabby",
    ] {
        assert!(page.contains(part), "{part}");
    }
    assert!(!page.contains("http") && !page.contains("<script") && !page.contains("src=\"/"));
    let pictures = page.matches("<figure>").count();
    assert_eq!(page.matches("what spoke for the mistake").count(), pictures, "every one explained");
}

/// The lines below a heading.
fn section<'a>(text: &'a str, heading: &'a str) -> impl Iterator<Item = &'a str> {
    let below = text.lines().skip_while(move |line| !line.starts_with(heading)).skip(1);
    below.take_while(|line| !line.is_empty())
}

/// The cells of the matrix and the photos of the bins.
fn text_agrees_with_json(world: &World, text: &str) {
    let object = json(&world.run(&["evaluate", "data", "--json"]));
    let bins = object["calibration"]["bins"].as_array().unwrap();
    let bins: Vec<u64> = bins.iter().filter_map(|bin| bin["count"].as_u64()).collect();
    let shown: Vec<u64> = section(text, "Calibration (")
        .map(|line| line.split_whitespace().last().unwrap().parse().unwrap())
        .collect();
    assert_eq!(shown, bins.into_iter().filter(|&count| count > 0).collect::<Vec<_>>());
    let matrix: Vec<Vec<&str>> =
        section(text, "Confusion (").map(|l| l.split_whitespace().collect()).collect();
    assert_eq!(matrix.len(), 3, "columns and two classes: {text}");
    let (columns, rows) = matrix.split_first().unwrap();
    assert_eq!(columns[..2], ["1", "2"]);
    for (row, name) in rows.iter().zip(["tabby", "dog"]) {
        let (cells, rest) = row.split_at(columns.len());
        let cells =
            cells.iter().map(|cell| if *cell == "·" { 0 } else { cell.parse::<u64>().unwrap() });
        assert_eq!(cells.sum::<u64>(), 6, "{text}");
        assert!(rest[1].contains(name), "{text}");
    }
    assert!(rows[0][columns.len()] == "1" && rows[1][columns.len()] == "2", "{text}");
}

#[test]
fn data_that_does_not_fit_is_wrong_usage() {
    let world = World::new();
    data(&world);
    world.write("strange/wombat/1.bmp", &bmp(8, 8, 1));
    world.write("strange/dog/1.bmp", &bmp(8, 8, 1));
    world.write("cranes/crane/1.bmp", &bmp(8, 8, 1));
    world.write("cranes/dog/1.bmp", &bmp(8, 8, 1));
    world.write("flat/1.bmp", &bmp(8, 8, 1));
    world.write("bad.csv", b"a.bmp,dog\nb.bmp\n");
    world.write("bad.tar", &[7; 1000]);
    let record = records(&[(bmp(8, 8, 1), 1, "")]);
    world.write("cut.tfrecord", &record[..record.len() - 1]);
    world.write("many.tfrecord", &records(&[(bmp(8, 8, 1), 1, ""), (bmp(8, 8, 1), 99, "")]));
    let cases: &[(&[&str], &str)] = &[
        (&["evaluate"], "DATA"),
        (&["evaluate", "nowhere"], "no such file or folder"),
        (&["evaluate", "a.bmp"], "neither a folder nor"),
        (&["evaluate", "flat"], "a folder for each class"),
        (&["evaluate", "cranes"], "could be the module's class 3 or 4"),
        (&["evaluate", "strange"], "wombat"),
        (&["evaluate", "bad.csv"], "line 2 has no path or no label"),
        (&["evaluate", "bad.tar"], "bad.tar"),
        (&["evaluate", "cut.tfrecord"], "record at byte 0"),
        (&["evaluate", "many.tfrecord"], "no class for 2 of the data's 2: \"1\", \"99\""),
        (&["evaluate", "list.txt"], "no such file or folder"),
        (&["evaluate", "part-{0..1}.tar"], "part-0.tar"),
        (&["evaluate", "data", "--html", "no/such/folder.html"], "cannot write"),
    ];
    for (arguments, says) in cases {
        let ran = world.run(arguments);
        assert_eq!(ran.status, 2, "{arguments:?}: {}", ran.stderr);
        assert!(ran.stderr.contains(says), "{arguments:?}: {}", ran.stderr);
    }
}

#[test]
fn explain_writes_an_overlay_of_the_photos_size() {
    let world = World::new();
    let decode = |name: &str| {
        let file = std::fs::read(world.path(name)).unwrap();
        mobilenet::Preprocessing::hub_convention(32, 32).decode(&file).unwrap()
    };
    let ran = world.run(&["explain", "a.bmp"]);
    assert_eq!(ran.status, 0, "{}", ran.stderr);
    let best = &world.run(&["classify", "--jsonl", "a.bmp"]).json_lines()[0]["predictions"][0];
    assert!(ran.stdout.contains(best["label"].as_str().unwrap()), "{}", ran.stdout);
    let (photo, overlay) = (decode("a.bmp"), decode("a.explained.png"));
    assert_eq!((overlay.height(), overlay.width()), (photo.height(), photo.width()));

    let arguments = ["explain", "a.bmp", "--class", "dog", "--json", "--out", "o.jpg"];
    let object = json(&world.run(&arguments));
    assert_eq!((&object["index"], &object["label"]), (&2.into(), &LABELS[2].into()));
    assert_eq!(decode("o.jpg").width(), photo.width());
    world.run(&["explain", "a.bmp", "--opacity", "0", "--out", "plain.png"]);
    assert_eq!(decode("plain.png"), photo, "no opacity, no change");
    let earlier = ["explain", "a.bmp", "--layer", "Conv2d_5_pointwise", "--json", "--out", "e.png"];
    let layer = json(&world.run(&earlier))["layer"].as_str().unwrap().to_owned();
    assert!(layer.contains("Conv2d_5_pointwise"), "{layer}");

    for (arguments, says) in [
        (&["explain", "gone.bmp"][..], "gone.bmp"),
        (&["explain", "a.bmp", "--class", "unicorn"], "no label is called"),
        (&["explain", "a.bmp", "--layer", "nowhere"], "nowhere"),
        (&["explain", "a.bmp", "--out", "o.xls"], ".png or .jpg"),
        (&["explain", "a.bmp", "--opacity", "2"], "0 to 1"),
    ] {
        let ran = world.run(arguments);
        assert_eq!(ran.status, 2, "{arguments:?} {}", ran.stderr);
        assert!(ran.stderr.contains(says), "{arguments:?}: {}", ran.stderr);
    }
}

#[test]
fn precisions_of_8_bits_are_calibrated_on_photos() {
    let world = World::new();
    data(&world);
    let refused = world.run(&["evaluate", "data", "--precision", "int8"]);
    assert_eq!(refused.status, 2);
    assert!(refused.stderr.contains("--calibration"), "{}", refused.stderr);
    let refused = world.run(&["evaluate", "data", "--precision", "auto"]);
    assert!(refused.status == 2 && refused.stderr.contains("--calibration"), "{}", refused.stderr);
    let refused = world.run(&["evaluate", "data", "--precision", "f64"]);
    assert!(refused.status == 2 && refused.stderr.contains("int8"), "{}", refused.stderr);

    let plan = |more: &[&str]| {
        let ran = world.run(&[&["inspect", "--stage", "plan"], more].concat());
        assert_eq!(ran.status, 0, "{}", ran.stderr);
        (ran.stdout, ran.stderr)
    };
    assert!(!plan(&[]).0.contains("_u8"));
    let eight = ["--calibration", "data", "--precision", "int8"];
    assert!(plan(&eight).0.contains("_u8"));
    let numbers = json(&world.run(&[&["evaluate", "data", "--json"], &eight[..]].concat()));
    assert_eq!(numbers["n"], 12);

    // Photos that decide ranges are cropped as those that are to be answered.
    let pixels = (0..128 * 128 * 3).map(|i| (i % 97) as f32 / 96.0).collect::<Vec<f32>>();
    let images = mobilenet::Tensor::new([1, 128, 128, 3], pixels).unwrap();
    world.write("x.npy", &mobilenet::npy::write(&images).unwrap());
    let vectors = |crop: &str| {
        let embed = ["embed", "x.npy", "--out", "x.out.npy", "--crop", crop];
        let ran = world.run(&[&embed, &eight[..], &["--module", "embedded:default"]].concat());
        assert_eq!(ran.status, 0, "{}", ran.stderr);
        read_npy(&world.path("x.out.npy"))
    };
    assert_eq!(vectors("none"), vectors("none"));
    assert_ne!(vectors("none"), vectors("central:0.2"));

    // What may lose everything takes the fastest, whichever that is; what must gain, f32.
    let auto = ["--calibration", "data", "--precision", "auto", "--max-loss"];
    let (plan_of_any, note) = plan(&[&auto[..], &["100"]].concat());
    let fastest = ["int8 (", "f32 (", "bf16 ("].map(|name| note.contains(name));
    assert_eq!(fastest.iter().filter(|named| **named).count(), 1, "{note}");
    assert_eq!(plan_of_any.contains("_u8"), fastest[0], "{note} {plan_of_any}");
    let (plan_of_none, note) = plan(&[&auto[..], &["-101"]].concat());
    assert!(
        !plan_of_none.contains("_u8") && note.contains("f32 (") && note.contains("loses 0.00"),
        "{note}"
    );
}
