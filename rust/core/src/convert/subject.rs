//! The subject of a message: names that identify a rejected record.

use std::fmt;

use super::shared::Group;

/// Longer names are truncated to this many characters.
const NAME_CHARS_MAX: usize = 100;

/// The metric and the service of a record, such as ` (metric "requests" of service "cart")`; empty if neither
/// is known.
pub(super) struct Subject<'g> {
    metric: Option<&'g [u8]>,
    service: Option<&'g [u8]>,
}

impl<'g> Subject<'g> {
    /// A record of this metric, if it belongs to a metric.
    pub(super) fn new(metric: Option<&'g [u8]>, group: &'g Group<'_>) -> Self {
        Self {
            metric,
            service: group.service_name(),
        }
    }
}

impl fmt::Display for Subject<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.metric.map(cut), self.service.map(cut)) {
            (Some(metric), Some(service)) => write!(f, " (metric {metric:?} of service {service:?})"),
            (Some(metric), None) => write!(f, " (metric {metric:?})"),
            (None, Some(service)) => write!(f, " (service {service:?})"),
            (None, None) => Ok(()),
        }
    }
}

/// Names may be invalid UTF-8, since text is validated only when its batch is closed.
fn cut(name: &[u8]) -> String {
    let reach = name.get(..4 * NAME_CHARS_MAX).unwrap_or(name);
    String::from_utf8_lossy(reach)
        .chars()
        .take(NAME_CHARS_MAX)
        .collect()
}
