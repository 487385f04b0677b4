//! Runs every check; a failed one ends the program.

#![allow(clippy::print_stdout, reason = "a program that reports")]

use std::time::Instant;

fn main() {
    let isas: Vec<&str> = mobilenet_kernels::Isa::available().map(|isa| isa.name()).collect();
    println!("instruction sets: {}", isas.join(", "));
    for (name, check) in kernel_checks::checks::CHECKS {
        let start = Instant::now();
        check();
        println!("ok     {name} ({:.1} s)", start.elapsed().as_secs_f64());
    }
}
