//! The checks, and behind plain exports for WebAssembly, where `scripts/run-wasm-checks.mjs` calls
//! them; beside them a network, which `benches/peers/wasm/run.mjs` times.

#[path = "../../../crates/kernels/tests/checks/mod.rs"]
pub mod checks;

#[cfg(target_family = "wasm")]
mod exports {
    use super::checks::CHECKS;
    use mobilenet_kernels::{Choice, Isa, Pool, Trial, family};
    use std::sync::Mutex;

    /// Text handed to JavaScript.
    static TEXT: Mutex<String> = Mutex::new(String::new());

    fn keep(text: String) {
        *TEXT.lock().unwrap_or_else(std::sync::PoisonError::into_inner) = text;
    }

    /// How many checks there are.
    #[unsafe(no_mangle)]
    pub extern "C" fn checks() -> usize {
        std::panic::set_hook(Box::new(|panic| keep(panic.to_string())));
        CHECKS.len()
    }

    /// Makes the name of a check the text.
    #[unsafe(no_mangle)]
    pub extern "C" fn name(index: usize) {
        keep(CHECKS[index].0.to_owned());
    }

    /// Makes the names of the instruction sets the text.
    #[unsafe(no_mangle)]
    pub extern "C" fn isas() {
        let isas: Vec<&str> = mobilenet_kernels::Isa::available().map(|isa| isa.name()).collect();
        keep(isas.join(", "));
    }

    /// Runs a check; traps if it fails, the reason is then the text.
    #[unsafe(no_mangle)]
    pub extern "C" fn run(index: usize) {
        CHECKS[index].1();
    }

    /// Address of the text.
    #[unsafe(no_mangle)]
    pub extern "C" fn text() -> *const u8 {
        TEXT.lock().unwrap_or_else(std::sync::PoisonError::into_inner).as_ptr()
    }

    /// Length of the text in bytes.
    #[unsafe(no_mangle)]
    pub extern "C" fn text_len() -> usize {
        TEXT.lock().unwrap_or_else(std::sync::PoisonError::into_inner).len()
    }

    /// The layers to be timed.
    static NETWORK: Mutex<Vec<Trial>> = Mutex::new(Vec::new());

    /// Prepares the convolutions of one network of the family.
    #[unsafe(no_mangle)]
    pub extern "C" fn network(percent: usize, size: usize) {
        let layers = family::layers(percent, size, 1001);
        let trial = |op| Trial::new(Isa::detect(), &op, Choice::default(), 1).expect("a layer");
        let trials = layers.iter().filter_map(family::Layer::tunable).map(trial).collect();
        *NETWORK.lock().unwrap_or_else(std::sync::PoisonError::into_inner) = trials;
    }

    /// Runs them all, one after the other.
    #[unsafe(no_mangle)]
    pub extern "C" fn pass() {
        let mut network = NETWORK.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        network.iter_mut().for_each(|trial| trial.run(&Pool::single()));
    }
}
