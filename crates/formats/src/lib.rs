//! File formats of mobilenet: bytes to structs and back.
