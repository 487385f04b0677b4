//! The modules compiled into the library; what is known of them is in `models/README.md`.

use mobilenet_hub::Embedded;

/// Every one, by the name behind `embedded:`.
pub(crate) const EMBEDDED: &[Embedded] =
    &[Embedded { name: "default", archive: include_bytes!("../models/default.tar.gz") }];
