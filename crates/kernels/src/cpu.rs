//! The CPU's name: what was measured on one model holds for others of it.

/// The model of this CPU, such as `AMD EPYC 9R14 (25/17/1)`: its name, family, model and stepping
/// where the CPU tells them, else the architecture.
pub fn cpu_model() -> String {
    #[cfg(target_arch = "x86_64")]
    return x86();
    #[cfg(not(target_arch = "x86_64"))]
    return std::env::consts::ARCH.to_owned();
}

#[cfg(target_arch = "x86_64")]
fn x86() -> String {
    let mut name = Vec::new();
    if cpuid(0x8000_0000).eax >= 0x8000_0004 {
        for leaf in 0x8000_0002..=0x8000_0004 {
            let std::arch::x86_64::CpuidResult { eax, ebx, ecx, edx } = cpuid(leaf);
            name.extend([eax, ebx, ecx, edx].into_iter().flat_map(u32::to_le_bytes));
        }
    }
    name.retain(|byte| byte.is_ascii_graphic() || *byte == b' ');
    let name = String::from_utf8_lossy(&name);
    let version = cpuid(1).eax;
    let field = |shift: u32, mask: u32| version >> shift & mask;
    let family = field(8, 15) + if field(8, 15) == 15 { field(20, 255) } else { 0 };
    let model = field(4, 15) + (field(16, 15) << 4);
    format!("{} ({family}/{model}/{})", name.trim(), field(0, 15))
}

#[cfg(target_arch = "x86_64")]
fn cpuid(leaf: u32) -> std::arch::x86_64::CpuidResult {
    // Safe to call since a Rust that is newer than the oldest we build with.
    #[allow(unused_unsafe)]
    // SAFETY: every x86-64 CPU has the instruction.
    unsafe {
        std::arch::x86_64::__cpuid(leaf)
    }
}

#[cfg(test)]
mod tests {
    #[test]
    fn the_model_is_the_same_every_time_and_printable() {
        let model = super::cpu_model();
        assert!(!model.is_empty() && model.chars().all(|c| c.is_ascii_graphic() || c == ' '));
        assert_eq!(model, super::cpu_model());
    }
}
