//! Names of enum values. OTLP/JSON requires numbers. Protobuf's own JSON writers emit names, and so do people
//! who write JSON by hand.

/// An enum: the prefix of its names, and the suffix for each number from 0.
#[derive(Debug)]
pub(super) struct EnumNames {
    pub prefix: &'static str,
    pub names: &'static [&'static str],
}

impl EnumNames {
    /// The number of a name such as `SPAN_KIND_SERVER`.
    pub(super) fn number(&self, name: &str) -> Option<i32> {
        let name = name.strip_prefix(self.prefix)?;
        let position = self.names.iter().position(|known| *known == name)?;
        i32::try_from(position).ok()
    }
}

pub(super) static SEVERITY_NUMBER: EnumNames = EnumNames {
    prefix: "SEVERITY_NUMBER_",
    names: &[
        "UNSPECIFIED",
        "TRACE",
        "TRACE2",
        "TRACE3",
        "TRACE4",
        "DEBUG",
        "DEBUG2",
        "DEBUG3",
        "DEBUG4",
        "INFO",
        "INFO2",
        "INFO3",
        "INFO4",
        "WARN",
        "WARN2",
        "WARN3",
        "WARN4",
        "ERROR",
        "ERROR2",
        "ERROR3",
        "ERROR4",
        "FATAL",
        "FATAL2",
        "FATAL3",
        "FATAL4",
    ],
};

pub(super) static SPAN_KIND: EnumNames = EnumNames {
    prefix: "SPAN_KIND_",
    names: &[
        "UNSPECIFIED",
        "INTERNAL",
        "SERVER",
        "CLIENT",
        "PRODUCER",
        "CONSUMER",
    ],
};

pub(super) static STATUS_CODE: EnumNames = EnumNames {
    prefix: "STATUS_CODE_",
    names: &["UNSET", "OK", "ERROR"],
};

pub(super) static AGGREGATION_TEMPORALITY: EnumNames = EnumNames {
    prefix: "AGGREGATION_TEMPORALITY_",
    names: &["UNSPECIFIED", "DELTA", "CUMULATIVE"],
};
