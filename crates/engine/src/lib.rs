//! Graphs, plans and sessions: what a model means and how it runs.
