//! The `mobilenet` command line.

fn main() {}
