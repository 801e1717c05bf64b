//! What the program prints about others: outcomes, outputs, tables, summaries.

pub(crate) mod margin;
pub(crate) mod node_set;
pub(crate) mod prefix;
pub(crate) mod printer;
pub(crate) mod render;
pub(crate) mod summary;
pub(crate) mod table;
