//! What scripts rely on in `mobilenet classify`: formats, order, exit statuses.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod support;

use support::{LABELS, World};

#[test]
fn jsonl_has_the_promised_fields_in_input_order() {
    let ran = World::new().run(&["classify", "--jsonl", "c.bmp", "a.bmp", "b.bmp"]);
    assert_eq!((ran.status, ran.stderr.as_str()), (0, ""));
    let lines = ran.json_lines();
    let paths: Vec<_> = lines.iter().map(|line| line["path"].as_str().unwrap()).collect();
    assert_eq!(paths, ["c.bmp", "a.bmp", "b.bmp"]);
    for line in &lines {
        assert_eq!(line.as_object().unwrap().len(), 2, "path and predictions");
        let predictions = line["predictions"].as_array().unwrap();
        assert_eq!(predictions.len(), 5);
        for p in predictions {
            let index = p["index"].as_u64().unwrap() as usize;
            assert_eq!(p["label"], LABELS[index]);
            assert!((0.0..=1.0).contains(&p["probability"].as_f64().unwrap()));
            assert!(p["logit"].is_f64());
            assert_eq!(p.as_object().unwrap().len(), 4);
        }
    }
}

#[test]
fn unreadable_files_are_reported_and_the_rest_goes_on() {
    let world = World::new();
    world.write("bad.jpg", b"\xff\xd8\xff\xe0 not really");
    world.write("page.jpg", b"<html>404</html>");
    let ran =
        world.run(&["classify", "--jsonl", "a.bmp", "bad.jpg", "none.jpg", "page.jpg", "b.bmp"]);
    assert_eq!(ran.status, 1);
    let lines = ran.json_lines();
    let failed: Vec<_> = lines.iter().map(|line| line["error"].is_string()).collect();
    assert_eq!(failed, [false, true, true, true, false]);
    assert!(lines[1].get("predictions").is_none());
    assert!(ran.stderr.contains("3 of 5 inputs failed"), "{}", ran.stderr);

    let text = world.run(&["classify", "a.bmp", "none.jpg"]);
    assert_eq!(text.status, 1);
    assert!(text.stdout.starts_with("a.bmp\n") && !text.stdout.contains("none.jpg"));
    assert!(text.stderr.contains("none.jpg: No such file"), "{}", text.stderr);
}

#[test]
fn json_is_one_array_even_of_nothing() {
    let world = World::new();
    let ran = world.run(&["classify", "--json", "a.bmp", "b.bmp"]);
    let value: serde_json::Value = serde_json::from_str(&ran.stdout).unwrap();
    assert_eq!(value.as_array().unwrap().len(), 2);
    let none = world.run_with(&["classify", "--json", "-"], b"");
    assert_eq!((none.status, none.stdout.as_str()), (0, "[]\n"));
}

#[test]
fn csv_has_a_row_a_label_and_quotes_commas() {
    let ran =
        World::new().run(&["classify", "--csv", "-n", "2", "--allow", "1", "a.bmp", "no.bmp"]);
    let lines: Vec<_> = ran.stdout.lines().collect();
    assert_eq!(lines[0], "path,rank,index,label,probability,logit,error");
    assert!(lines[1].starts_with("a.bmp,1,1,\"tabby, tabby cat\",0."), "{}", lines[1]);
    assert!(lines[2].starts_with("no.bmp,,,,,,No such file"), "{}", lines[2]);
    assert_eq!(lines.len(), 3);
}

#[test]
fn filters_choose_labels() {
    let world = World::new();
    let labels = |arguments: &[&str]| {
        let ran = world.run(&[&["classify", "--jsonl", "a.bmp"], arguments].concat());
        assert_eq!(ran.status, 0, "{}", ran.stderr);
        let line = ran.json_lines().remove(0);
        let predictions = line["predictions"].as_array().unwrap().clone();
        let mut indices: Vec<_> =
            predictions.iter().map(|p| p["index"].as_u64().unwrap()).collect();
        indices.sort_unstable();
        indices
    };
    assert_eq!(labels(&["--allow", "crane", "--allow", "Tabby Cat"]), [1, 3, 4]);
    assert_eq!(labels(&["--deny", "crane", "--deny", "0"]), [1, 2]);
    assert_eq!(labels(&["--threshold", "1"]), [0u64; 0]);
    assert_eq!(labels(&["--top", "1"]).len(), 1);
}

#[test]
fn paths_come_from_stdin_folders_and_globs() {
    let world = World::new();
    world.write("in/y.bmp", &support::bmp(8, 8, 1));
    world.write("in/deep/x.BMP", &support::bmp(8, 8, 2));
    world.write("in/notes.txt", b"not an image");
    let paths = |ran: support::Ran| -> Vec<String> {
        assert_eq!(ran.status, 0, "{}", ran.stderr);
        let lines = ran.json_lines();
        lines.iter().map(|line| line["path"].as_str().unwrap().replace('\\', "/")).collect()
    };
    let stdin = world.run_with(&["classify", "--jsonl", "-"], b"b.bmp\na.bmp\n");
    assert_eq!(paths(stdin), ["b.bmp", "a.bmp"]);
    let nul = world.run_with(&["classify", "--jsonl", "-0", "-"], b"b.bmp\0a.bmp");
    assert_eq!(paths(nul), ["b.bmp", "a.bmp"]);
    assert_eq!(
        paths(world.run(&["classify", "--jsonl", "-r", "in"])),
        ["in/deep/x.BMP", "in/y.bmp"]
    );
    assert_eq!(paths(world.run(&["classify", "--jsonl", "in/*.bmp"])), ["in/y.bmp"]);
    assert_eq!(world.run(&["classify", "--jsonl", "in"]).status, 1);
    assert_eq!(world.run(&["classify", "--jsonl", "*.tiff"]).status, 1);
}

#[test]
fn threads_and_order_do_not_change_the_answers() {
    let world = World::new();
    for number in 0..40 {
        world.write(&format!("many/{number:02}.bmp"), &support::bmp(30 + number, 20, number as u8));
    }
    let one = world.run(&["classify", "--jsonl", "--threads", "1", "-r", "many"]);
    let four = world.run(&["classify", "--jsonl", "--threads", "4", "-r", "many"]);
    assert_eq!(one.json_lines().len(), 40);
    assert_eq!(one.stdout, four.stdout);
}

#[test]
fn wrong_usage_and_unusable_modules_exit_with_2() {
    let world = World::new();
    world.write("labels.txt", b"one\ntwo\n");
    world.write("not-a-module.tar.gz", b"hello");
    let cases: &[(&[&str], &str)] = &[
        (&["classify"], "required"),
        (&["classify", "a.bmp", "--json", "--csv"], "cannot be used with"),
        (&["classify", "a.bmp", "--resize", "best"], "tf2-bilinear"),
        (&["classify", "a.bmp", "--crop", "left"], "central:0.875"),
        (&["classify", "a.bmp", "--isa", "mmx"], "portable"),
        (&["classify", "a.bmp", "--threads", "0"], "--threads"),
        (&["classify", "a.bmp", "--threshold", "2"], "0 to 1"),
        (&["classify", "a.bmp", "--top", "0"], "1 or more"),
        (&["classify", "a.bmp", "--allow", "unicorn"], "no label is called"),
        (&["classify", "a.bmp", "--labels", "labels.txt"], "labels.txt: 2 labels for 5 classes"),
        (&["classify", "a.bmp", "--labels", "none.txt"], "none.txt"),
        (&["classify", "a.bmp", "--tags", "serve"], "{train}"),
        (&["classify", "a.bmp", "--module", "nowhere"], "no module at `nowhere`"),
        (&["classify", "a.bmp", "--module", "not-a-module.tar.gz"], "not-a-module"),
        (&["classify", "a.bmp", "--module", "https://tfhub.dev/x/1"], "offline"),
        (&["clasify", "a.bmp"], "classify"),
    ];
    for (arguments, says) in cases {
        let ran = world.run(arguments);
        assert_eq!(ran.status, 2, "{arguments:?}: {}", ran.stderr);
        assert!(ran.stderr.contains(says), "{arguments:?}: {}", ran.stderr);
        assert_eq!(ran.stdout, "", "{arguments:?}");
    }
}

#[test]
fn hostile_names_and_labels_stay_on_their_line() {
    let world = World::new();
    world.write("labels.txt", "\u{1b}[2Ja\nb\nc\nd\ne".as_bytes());
    let name = if cfg!(windows) { "plain.bmp" } else { "evil\u{1b}[31m\n.bmp" };
    world.write(name, &support::bmp(8, 8, 3));
    let text = world.run(&["classify", "--labels", "labels.txt", name, "gone\u{7}.bmp"]);
    assert!(!text.stdout.contains('\u{1b}') && !text.stderr.contains(['\u{1b}', '\u{7}']));
    let jsonl = world.run(&["classify", "--jsonl", "--labels", "labels.txt", name]);
    assert_eq!(jsonl.stdout.lines().count(), 1);
    assert!(!jsonl.stdout.contains('\u{1b}'));
}

#[test]
fn a_reader_that_goes_away_is_no_error() {
    let world = World::new();
    let list = "a.bmp\n".repeat(3000);
    let mut child = world.command(&["classify", "--jsonl", "-"]).spawn().unwrap();
    let mut stdin = child.stdin.take().unwrap();
    let feeder = std::thread::spawn(move || {
        let _ = std::io::Write::write_all(&mut stdin, list.as_bytes());
    });
    // Reads nothing and closes.
    drop(child.stdout.take());
    let output = child.wait_with_output().unwrap();
    feeder.join().unwrap();
    assert_eq!(output.status.code(), Some(0), "{}", String::from_utf8_lossy(&output.stderr));
    assert!(output.stderr.is_empty());
}
