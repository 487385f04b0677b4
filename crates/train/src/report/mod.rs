//! Reports to look at: pages of HTML with charts and pictures inside, nothing to fetch.

pub mod chart;
pub mod html;
