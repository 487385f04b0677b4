//! Photos to pixels, and numbers to labels.
