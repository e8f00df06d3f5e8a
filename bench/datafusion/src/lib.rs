//! The two types of DataFusion that otel-arrow names, from where DataFusion itself has them.

/// As in DataFusion.
pub mod logical_expr {
    pub use datafusion_expr_common::columnar_value::ColumnarValue;
}

/// As in DataFusion.
pub mod scalar {
    pub use datafusion_common::scalar::ScalarValue;
}
