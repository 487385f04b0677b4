//! `train` and `fine-tune` as they are called: mixed data, weights, event files, learning rates.
#![allow(clippy::unwrap_used, reason = "tests")]

mod support;

use mobilenet_formats::tfrecord::RecordWriter;
use mobilenet_formats::tfrecord::example::Example;
use support::{World, bmp};

/// A folder and a TFRecord of dark and light pictures, few of the light ones.
fn world() -> World {
    let world = World::new();
    for number in 0..12 {
        world.write(&format!("photos/dark/{number}.bmp"), &bmp(40, 30, number));
    }
    let mut records = RecordWriter::new(Vec::new());
    for number in 0..6 {
        let example = Example::default()
            .with_bytes("image/encoded", vec![bmp(40, 30, 200 + number).into()])
            .with_bytes("image/class/text", vec![b"light".to_vec().into()])
            .with_ints("image/class/label", vec![0]);
        records.write(&example.to_record()).unwrap();
    }
    world.write("light.tfrecord", &records.into_inner());
    world
}

const DATA: [&str; 4] = ["--data", "photos", "--data", "light.tfrecord"];
const SMALL: [&str; 6] = ["--image-size", "32", "--batch-size", "4", "--epochs", "1"];

#[test]
fn sources_are_mixed_and_every_step_is_told() {
    let world = world();
    let flags = "--out out --mode full --data-weights 1,1 --class-weights balanced --flip --rotation 10 \
                 --erasing 0.5 --crop 0.5 --hue 0.1 --mixup 0.2 --tensorboard board --jsonl";
    let arguments: Vec<&str> = flags.split_whitespace().collect();
    let ran = world.run(&[&["fine-tune"], &DATA[..], &SMALL[..], &arguments[..]].concat());
    assert_eq!(ran.status, 0, "{}", ran.stderr);
    let lines = ran.json_lines();
    let result = lines.last().unwrap();
    assert_eq!(result["event"], "result");
    let classes = result["accuracy_by_class"].as_object().unwrap();
    assert_eq!(classes.keys().collect::<Vec<_>>(), ["dark", "light"]);
    let steps = lines.iter().filter(|line| line["event"] == "step").count();
    assert!(steps > 0 && world.path("out/saved_model.pb").exists());
    let names: Vec<String> = std::fs::read_dir(world.path("board/train"))
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    assert!(names.len() == 1 && names[0].starts_with("events.out.tfevents."), "{names:?}");
    // Without the same weights it is another run.
    let again =
        world.run(&[&["fine-tune", "--out", "out", "--resume"], &DATA[..], &SMALL[..]].concat());
    assert!(
        again.status == 2 && again.stderr.contains("checkpoint was made with"),
        "{}",
        again.stderr
    );
}

#[cfg(unix)]
#[test]
fn photos_that_cannot_be_used_are_told_and_counted() {
    let world = World::new();
    for number in 0..12 {
        for (class, shade) in [("dark", 0), ("light", 200)] {
            world.write(&format!("p/train/{class}/{number}.bmp"), &bmp(40, 30, shade + number));
        }
    }
    for (class, shade) in [("dark", 20), ("light", 220)] {
        world.write(&format!("p/test/{class}/1.bmp"), &bmp(40, 30, shade));
    }
    world.write("p/test/dark/torn.bmp", b"BM torn");
    std::os::unix::fs::symlink("nowhere.bmp", world.path("p/train/dark/gone.bmp")).unwrap();
    for mode in ["head", "full", "train"] {
        let flags: &[&str] = match mode {
            "train" => &["train"],
            _ => &["fine-tune", "--mode", mode],
        };
        let more = ["--data", "p", "--out", mode, "--jsonl"];
        let ran = world.run(&[flags, &more[..], &SMALL[..]].concat());
        assert_eq!(ran.status, 0, "{}", ran.stderr);
        for says in ["skipped p/test/dark/torn.bmp", "skipped p/train/dark/gone.bmp"] {
            assert!(ran.stderr.contains(says), "{mode}: {}", ran.stderr);
        }
        assert!(ran.stderr.contains("were skipped: 2"), "{}", ran.stderr);
        let lines = ran.json_lines();
        let result = lines.last().unwrap();
        assert_eq!(result["event"], "result", "{mode}");
        assert!(result["skipped"] == 2 && result["images"] == 2, "{mode}: {result}");
        let classes = result["accuracy_by_class"].as_object().unwrap();
        assert_eq!(classes.keys().collect::<Vec<_>>(), ["dark", "light"], "{mode}");
    }
}

/// What is told without a test folder: of the photos that --testing-percentage keeps for the end.
#[test]
fn training_tests_with_the_photos_kept_for_it() {
    let world = world();
    let run = |out: &str, testing: &str| {
        let flags = ["train", "--out", out, "--testing-percentage", testing, "--jsonl"];
        let none = ["--validation-percentage", "0"];
        let ran = world.run(&[&flags[..], &none[..], &DATA[..], &SMALL[..]].concat());
        assert_eq!(ran.status, 0, "{}", ran.stderr);
        ran.json_lines().pop().unwrap()
    };
    let (kept, none) = (run("kept", "40"), run("none", "0"));
    let images = kept["images"].as_u64().unwrap();
    assert!(kept["event"] == "result" && (1..18).contains(&images), "{kept}");
    assert!(kept["top1"].is_number() && kept["skipped"] == 0, "{kept}");
    assert_eq!(none, serde_json::json!({"event": "result", "images": 0, "skipped": 0}));
}

#[test]
fn old_flags_that_count_otherwise_are_converted() {
    let world = world();
    let run = |out: &str, flags: &str| {
        let flags = flags.split_whitespace();
        let all = ["fine-tune", "--out", out, "--jsonl"].into_iter().chain(flags);
        let all: Vec<&str> = all.chain(DATA).chain(SMALL).collect();
        world.run(&all)
    };
    // Any other setting would be refused.
    for (out, old, ours) in [
        ("split", "--validation_split 0.3", "--validation-percentage 30"),
        ("l2", "--l2_regularizer 0.5", "--l2 1"),
        ("augmented", "--full --do_data_augmentation", "--full --augment gentle"),
        ("plain", "--full --do_data_augmentation=false", "--full --augment none"),
        ("not", "--full --nodo_data_augmentation", "--full --augment none"),
    ] {
        let ran = run(out, old);
        assert_eq!(ran.status, 0, "{old}: {}", ran.stderr);
        let again = run(out, &format!("{ours} --resume"));
        assert_eq!(again.status, 0, "{ours}: {}", again.stderr);
        assert!(again.json_lines().iter().all(|line| line["event"] != "epoch"), "{ours}");
        let other = run(out, "--full --l2 3 --augment medium --resume");
        assert!(other.status == 2 && other.stderr.contains("checkpoint"), "{}", other.stderr);
    }
    for (flags, says) in [
        ("--full --l2_regularizer 0.5", "write --l2"),
        ("--l2_regularizer 0.5 --l2 1", "--l2"),
        ("--validation_split 20", "leave nothing to train on"),
        ("--do_data_augmentation --augment none", "--augment"),
    ] {
        let ran = run("refused", flags);
        assert!(ran.status == 2 && ran.stderr.contains(says), "{flags}: {}", ran.stderr);
    }
}

#[test]
fn old_flags_mean_what_they_meant() {
    let world = world();
    let old = "--image_dir photos --image_dir light.tfrecord --saved_model_dir out --image_size 32 --batch_size 4 \
               --how_many_training_steps 3 --flip_left_right=True --rotation_range 5 --summaries_dir board \
               --do_fine_tuning=false --test_batch_size -1 --validation_batch_size 100 \
               --final_tensor_name final_result --print_misclassified_test_images --set_memory_growth \
               --labels_output_file labels.txt --tflite_output_file out.tflite --jsonl";
    let old: Vec<&str> = old.split_whitespace().collect();
    let ran = world.run(&[&["fine-tune", "--assert_accuracy_at_least", "0"], &old[..]].concat());
    assert_eq!(ran.status, 0, "{}", ran.stderr);
    assert_eq!(ran.json_lines().iter().filter(|line| line["event"] == "step").count(), 3);
    assert_eq!(std::fs::read_to_string(world.path("labels.txt")).unwrap(), "dark\nlight\n");
    for ignored in [
        "--test_batch_size",
        "--validation_batch_size",
        "--final_tensor_name",
        "--set_memory_growth",
    ] {
        assert!(ran.stderr.contains(&format!("{ignored} does nothing")), "{}", ran.stderr);
    }
    let classified = world.run(&["classify", "--module", "out.tflite", "a.bmp"]);
    assert_eq!(classified.status, 0, "{}", classified.stderr);
    let changed = ["--saved_model_dir", "out", "--do_fine_tuning=false", "--flip_left_right=True"];
    let old: Vec<&str> = old.iter().copied().filter(|flag| !changed.contains(flag)).collect();
    let other = "--saved_model_dir more --assert_accuracy_at_least 1.1 --nodo_fine_tuning \
                 --horizontal_flip=false";
    let other: Vec<&str> = other.split_whitespace().collect();
    let ran = world.run(&[&["fine-tune"], &other[..], &old[..]].concat());
    assert!(ran.status == 1 && ran.stderr.contains("less than 1.1"), "{}", ran.stderr);
    let other = ["--saved_model_dir", "most", "--do_fine_tuning", "--noflip_left_right"];
    let ran = world.run(&[&["fine-tune"], &other[..], &old[..]].concat());
    assert_eq!(ran.status, 0, "{}", ran.stderr);
    let other = ["--saved_model_dir", "none", "--do_fine_tuning=maybe"];
    let ran = world.run(&[&["fine-tune"], &other[..], &old[..]].concat());
    assert!(ran.status == 2 && ran.stderr.contains("do_fine_tuning"), "{}", ran.stderr);
}

#[test]
fn a_learning_rate_is_found_and_nothing_is_written() {
    let world = world();
    let find = ["--image-size", "32", "--batch-size", "4", "--out", "out", "--find-learning-rate"];
    let ran = world.run(&[&["train"], &DATA[..], &find[..]].concat());
    assert_eq!(ran.status, 0, "{}", ran.stderr);
    assert!(
        ran.stdout.starts_with("learning rate") && ran.stdout.contains("1.00e-5"),
        "{}",
        ran.stdout
    );
    assert!(
        ran.stderr.contains("--learning-rate") || ran.stderr.contains("fell at no"),
        "{}",
        ran.stderr
    );
    assert!(!world.path("out/saved_model.pb").exists() && !world.path("out/training").exists());
    let ran = world.run(&[&["fine-tune", "--jsonl"], &DATA[..], &find[..]].concat());
    let lines = ran.json_lines();
    let points = lines.last().unwrap()["points"].as_array().unwrap();
    assert!(points.len() > 10 && points[0]["learning_rate"] == 1e-5, "{points:?}");
    assert_eq!(lines.iter().filter(|line| line["event"] == "step").count(), points.len());
}

#[test]
fn impossible_wishes_are_refused_with_what_to_do() {
    let world = world();
    for (flags, says) in [
        ("--data-weights 1", "one weight for each source"),
        ("--data-weights 0,0", "not all 0"),
        ("--class-weights light=2,dork=1", "\"dork\""),
        ("--class-weights heavy", "hat=2,shoes=0.5"),
        ("--hue 0.7", "out of range"),
        ("--schedule step", "--decay-epochs 10,15"),
        ("--schedule step --decay-epochs 3,1", "ascending order"),
        ("--schedule exponential --decay-epochs 3,4", "one number"),
        ("--schedule cosine --decay-factor 0.5", "--schedule step"),
        ("--schedule exponential --decay-factor 2", "up to 1"),
        ("--optimizer sgd --momentum 0.5", "sgd has no momentum"),
        ("--epsilon 0.1", "nesterov has no epsilon"),
        ("--optimizer adamw --rmsprop-decay 0.9", "adamw has no decay"),
        ("--optimizer rmsprop --rmsprop-decay 1", "0 up to 1"),
        ("--crop 0", "out of range"),
    ] {
        let flags: Vec<&str> = flags.split_whitespace().collect();
        let arguments = [&["train", "--out", "out"], &DATA[..], &SMALL[..], &flags[..]].concat();
        let ran = world.run(&arguments);
        assert!(ran.status == 2 && ran.stderr.contains(says), "{flags:?}: {}", ran.stderr);
    }
}

#[test]
fn schedule_and_optimiser_are_as_the_flags_say() {
    let world = world();
    let flags = "--image-size 32 --batch-size 4 --epochs 3 --warmup-epochs 0 --learning-rate 0.01 \
                 --schedule step --decay-epochs 1,2 --decay-factor 0.5 --optimizer rmsprop \
                 --rmsprop-decay 0.8 --momentum 0.5 --out out --jsonl";
    let flags: Vec<&str> = flags.split_whitespace().collect();
    let run = |more: &[&str]| world.run(&[&["train"], &DATA[..], &flags[..], more].concat());
    let ran = run(&["--epsilon", "0.5"]);
    assert_eq!(ran.status, 0, "{}", ran.stderr);
    let lines = ran.json_lines();
    let per_epoch = lines.iter().find_map(|line| line["steps_per_epoch"].as_u64()).unwrap();
    let steps: Vec<_> = lines.iter().filter(|line| line["event"] == "step").collect();
    assert_eq!(steps.len() as u64, 3 * per_epoch);
    for (step, line) in (0..).zip(steps) {
        let wanted = [0.01, 0.005, 0.0025][(step / per_epoch) as usize];
        let rate = line["learning_rate"].as_f64().unwrap();
        assert!((rate - wanted).abs() < 1e-12, "step {step}: {rate} for {wanted}");
    }
    let other = run(&["--epsilon", "0.6", "--resume"]);
    let says = "epsilon 0.5, this run has 0.6";
    assert!(other.status == 2 && other.stderr.contains(says), "{}", other.stderr);
    let help = world.run(&["train", "--help"]).stdout;
    for value in ["exponential:", "nesterov:", "inception:", "slim:", "avx512, avx2", "portable"] {
        assert!(help.contains(value), "{value}: {help}");
    }
    let help = world.run(&["classify", "--help"]).stdout;
    assert!(help.contains("tf1-legacy-bilinear, ") && help.contains("portable"), "{help}");
}

#[cfg(unix)]
#[test]
fn ctrl_c_keeps_the_features_computed_so_far() {
    use std::io::{BufRead as _, BufReader};
    let world = World::new();
    for number in 0..400 {
        for (class, shade) in [("dark", 0), ("light", 150)] {
            let photo = bmp(40 + number / 100, 30, shade + (number % 100) as u8);
            world.write(&format!("p/{class}/{number}.bmp"), &photo);
        }
    }
    let flags = "fine-tune --data p --out out --image-size 128 --epochs 1 --jsonl";
    let flags: Vec<&str> = flags.split_whitespace().collect();
    let mut child = world.command(&flags).spawn().unwrap();
    let mut told = Vec::new();
    for line in BufReader::new(child.stdout.take().unwrap()).lines() {
        let line: serde_json::Value = serde_json::from_str(&line.unwrap()).unwrap();
        if line["what"] == "features" {
            if told.is_empty() {
                let id = child.id().to_string();
                std::process::Command::new("kill").args(["-INT", &id]).status().unwrap();
            }
            told.push(line);
        }
    }
    let output = child.wait_with_output().unwrap();
    let stderr = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(130), "{stderr}");
    assert!(stderr.contains("features computed so far are kept"), "{stderr}");
    assert!(stderr.contains("before the first step") && !stderr.contains('━'), "{stderr}");
    let ran = world.run(&flags);
    assert_eq!(ran.status, 0, "{}", ran.stderr);
    let lines = ran.json_lines();
    let rest = lines.iter().find(|line| line["what"] == "features").unwrap();
    let number = |line: &serde_json::Value, key: &str| line[key].as_u64().unwrap();
    let (first, last) = (&told[0], told.last().unwrap());
    assert_eq!(number(rest, "of"), number(first, "of") - number(last, "images"));
    assert!(number(rest, "of") < number(first, "of"));
}

#[cfg(unix)]
#[test]
fn ctrl_c_stops_a_validation_and_the_report_has_the_curves_of_the_run() {
    use std::io::{BufRead as _, BufReader};
    let world = World::new();
    for (part, count) in [("train", 8), ("validation", 250)] {
        for number in 0..count {
            for (class, shade) in [("dark", 0), ("light", 150)] {
                let photo = bmp(40 + number / 100, 30, shade + (number % 100) as u8);
                world.write(&format!("p/{part}/{class}/{number}.bmp"), &photo);
            }
        }
    }
    let flags = "train --data p --out out --image-size 128 --batch-size 4 --epochs 1 --jsonl";
    let flags: Vec<&str> = flags.split_whitespace().collect();
    let mut child = world.command(&flags).spawn().unwrap();
    let mut told = Vec::new();
    for line in BufReader::new(child.stdout.take().unwrap()).lines() {
        let line: serde_json::Value = serde_json::from_str(&line.unwrap()).unwrap();
        if line["event"] == "validating" && line["images"] == 0 {
            assert_eq!(line["of"], 500);
            let id = child.id().to_string();
            std::process::Command::new("kill").args(["-INT", &id]).status().unwrap();
        }
        told.push(line["event"].as_str().unwrap().to_owned());
    }
    let output = child.wait_with_output().unwrap();
    let stderr = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(130), "{stderr}");
    assert!(stderr.contains("after step 4") && stderr.contains("--resume"), "{stderr}");
    assert!(told.last().unwrap() == "checkpoint" && !told.contains(&"epoch".to_owned()));
    let ran = world.run(&[&flags[..], &["--resume"]].concat());
    assert_eq!(ran.status, 0, "{}", ran.stderr);
    let count = |event: &str| ran.json_lines().iter().filter(|l| l["event"] == event).count();
    assert_eq!((count("step"), count("epoch")), (0, 1));

    let evaluate = "evaluate p --module out --html report.html --mistakes 0";
    let ran = world.run(&evaluate.split_whitespace().collect::<Vec<_>>());
    assert_eq!(ran.status, 0, "{}", ran.stderr);
    let page = std::fs::read_to_string(world.path("report.html")).unwrap();
    for line in ["training loss", "validation loss", "training accuracy", "validation accuracy"] {
        assert!(page.contains(&format!(">{line}</text>")), "{line}");
    }
}

/// Killed again and again, at moments that nobody chose, and always resumed: the same module.
#[test]
fn killed_runs_resume_to_the_same_bytes() {
    let world = world();
    let flags =
        "--data photos --data light.tfrecord --image-size 32 --batch-size 4 --save-every 0 --quiet";
    for (command, mode) in [
        ("train", "--epochs 6"),
        ("fine-tune", "--epochs 3 --mode full"),
        ("fine-tune", "--epochs 3 --mode last-blocks:2"),
        ("fine-tune", "--epochs 40 --mode head"),
    ] {
        let flags: Vec<&str> = flags.split(' ').chain(mode.split(' ')).collect();
        let whole = world.run(&[&[command, "--out", "whole"], &flags[..]].concat());
        assert_eq!(whole.status, 0, "{}", whole.stderr);
        let resumed = [&[command, "--out", "torn", "--resume"], &flags[..]].concat();
        let mut killed = 0;
        for pause in [20, 60, 120, 250, 400] {
            let mut child = world.command(&resumed).spawn().unwrap();
            std::thread::sleep(std::time::Duration::from_millis(pause));
            killed += u32::from(child.try_wait().unwrap().is_none());
            child.kill().unwrap();
            child.wait().unwrap();
        }
        assert!(killed > 0, "{command} {mode} was done before it could be killed");
        let end = world.run(&resumed);
        assert_eq!(end.status, 0, "{}", end.stderr);
        for file in ["saved_model.pb", "variables/variables.data-00000-of-00001"] {
            let [whole, torn] = ["whole", "torn"]
                .map(|folder| std::fs::read(world.path(folder).join(file)).unwrap());
            assert!(whole == torn, "{command} {mode}: {file}");
        }
        for folder in ["whole", "torn"] {
            std::fs::remove_dir_all(world.path(folder)).unwrap();
        }
    }
}
