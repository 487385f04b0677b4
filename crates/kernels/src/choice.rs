//! [`Choice`]: what may be chosen for an op instead of what the cost model picks, and [`Tuning`]:
//! choices that measurement made, by op. Who measures and where it is kept is not decided here.

use crate::error::{Error, Result};
use crate::isa::Isa;
use crate::table;
use crate::trial::Tunable;
use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

/// How an op is computed, where the cost model does not decide.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Choice {
    /// The kernel that multiplies, by its name in the table.
    pub kernel: Option<&'static str>,
    /// Output rows of a strip of a separable convolution.
    pub rows: Option<usize>,
}

impl Choice {
    /// This kernel.
    pub fn of(kernel: &'static str) -> Self {
        Self { kernel: Some(kernel), rows: None }
    }
}

impl fmt::Display for Choice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.kernel.unwrap_or("-"))?;
        match self.rows {
            Some(rows) => write!(f, " {rows}"),
            None => Ok(()),
        }
    }
}

impl FromStr for Choice {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        let wrong = || Error::kernel(format!("{text:?} is no kernel and number of rows"));
        let (kernel, rows) = match text.split_once(' ') {
            Some((kernel, rows)) => (kernel, Some(rows.parse().map_err(|_| wrong())?)),
            None => (text, None),
        };
        let kernel = match kernel {
            "-" => None,
            name => Some(table::by_name(name)?.name),
        };
        Ok(Self { kernel, rows })
    }
}

/// Choices by instruction set and op.
///
/// ```
/// use mobilenet_kernels::{Choice, Isa, PointwiseSpec, Activation, Tunable, Tuning};
///
/// let spec = PointwiseSpec { inputs: 256, outputs: 1001, activation: Activation::None };
/// let (isa, op) = (Isa::Portable, Tunable::Pointwise(spec, 1));
/// let mut tuning = Tuning::default();
/// tuning.set(isa, &op, Choice::of("pointwise_f32_4x8__portable"));
/// let again = Tuning::parse(&tuning.to_string());
/// assert_eq!(again.choice(isa, &op), Choice::of("pointwise_f32_4x8__portable"));
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tuning(BTreeMap<String, Choice>);

impl Tuning {
    /// What was chosen for `op`; nothing where nobody measured it.
    pub fn choice(&self, isa: Isa, op: &Tunable) -> Choice {
        if self.0.is_empty() {
            return Choice::default();
        }
        self.0.get(&key(isa, op)).copied().unwrap_or_default()
    }

    /// Notes a choice; the cost model's own needs no note.
    pub fn set(&mut self, isa: Isa, op: &Tunable, choice: Choice) {
        if choice == Choice::default() {
            self.0.remove(&key(isa, op));
        } else {
            self.0.insert(key(isa, op), choice);
        }
    }

    /// Takes the choices of `other` for these ops, also where `other` leaves them to the cost model.
    pub fn update(&mut self, isa: Isa, ops: &[String], other: &Tuning) {
        for op in ops {
            let key = format!("{isa} {op}");
            match other.0.get(&key) {
                Some(&choice) => self.0.insert(key, choice),
                None => self.0.remove(&key),
            };
        }
    }

    /// How many choices there are.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether the cost model decides everything.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Reads the lines that its `Display` writes. Lines that are none, or that name kernels which
    /// this build or this CPU lacks, are left out.
    pub fn parse(text: &str) -> Self {
        let entry = |line: &str| {
            let (op, choice) = line.split_once('\t')?;
            Some((op.to_owned(), choice.parse().ok()?))
        };
        Self(text.lines().filter_map(entry).collect())
    }
}

fn key(isa: Isa, op: &Tunable) -> String {
    format!("{isa} {op}")
}

impl fmt::Display for Tuning {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|(op, choice)| writeln!(f, "{op}\t{choice}"))
    }
}
