//! Runs every check, or those whose names begin with the argument; a failed one ends the program.

#![allow(clippy::print_stdout, reason = "a program that reports")]

use std::time::Instant;

fn main() {
    let isas: Vec<&str> = mobilenet_kernels::Isa::available().map(|isa| isa.name()).collect();
    println!("instruction sets: {}", isas.join(", "));
    let kernels = mobilenet_kernels::int8::KERNELS.iter().filter(|kernel| kernel.is_available());
    let kernels: Vec<&str> = kernels.map(|kernel| kernel.name).collect();
    println!("kernels of bytes: {}", kernels.join(", "));
    let chosen = std::env::args().nth(1).unwrap_or_default();
    for (name, check) in kernel_checks::checks::CHECKS {
        if !name.starts_with(&chosen) {
            continue;
        }
        let start = Instant::now();
        check();
        println!("ok     {name} ({:.1} s)", start.elapsed().as_secs_f64());
    }
}
