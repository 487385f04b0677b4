//! Handles, downloads and the module cache of mobilenet.
