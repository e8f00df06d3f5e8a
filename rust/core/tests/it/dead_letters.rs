//! Dead letters through the whole pipeline: what is left out is kept, and stored when it is sent again
//! after a fix. And the limits that make them.

mod failing;
mod limits;
mod records;
mod support;
