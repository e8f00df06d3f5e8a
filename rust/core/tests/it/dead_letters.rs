//! Dead letters through the whole pipeline: left-out records are kept, and stored when they are sent again
//! after a fix. Also the limits that lead to dead letters.

mod failing;
mod limits;
mod records;
mod repeated;
mod support;
