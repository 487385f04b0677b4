//! The checks of [`checks`] as tests.

mod checks;
