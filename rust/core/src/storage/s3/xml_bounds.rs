//! Bounds for the answers that `object_store` parses as XML.
//!
//! Its parser compares each attribute of a tag with all others of the tag (RUSTSEC-2026-0194), keeps all
//! namespaces that a tag declares (RUSTSEC-2026-0195), and sets unknown elements aside in many times their
//! size. A broken or hostile service could so keep a thread busy for minutes, or fill the memory. S3's own
//! answers are far within these bounds.

use std::error::Error;
use std::fmt;

use bytes::{Bytes, BytesMut};
use futures::TryStreamExt;
use http::Method;
use object_store::client::{HttpError, HttpErrorKind, HttpRequest, HttpResponseBody};

/// The greatest length of an answer. The longest is a page of a list: 1,000 keys of 1,024 bytes. Escaped, a
/// byte of a key takes at most 6 (`&quot;`), and the rest of an entry is less than 1 KiB, so a page has less
/// than 7 MiB.
const BODY_BYTES_MAX: usize = 16 << 20;

/// The greatest number of tags, comments and the like. An entry of a list has about 30.
const TAGS_MAX: usize = 1 << 18;

/// The greatest length of a tag, a comment or the like, from `<` to its end. The longest may be a key in
/// CDATA.
const MARKUP_BYTES_MAX: usize = 4 << 10;

/// The greatest number of attributes of a tag. S3's have two: a namespace and a type.
const ATTRIBUTES_MAX: usize = 16;

/// What is not a tag, although it begins like one: its beginning and its end. Quotes mean nothing inside.
const SECTIONS: [(&[u8], &[u8]); 3] = [(b"<!--", b"-->"), (b"<![CDATA[", b"]]>"), (b"<?", b"?>")];

/// Why an answer is not read or not parsed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum OutOfBounds {
    Body,
    Tags,
    Markup,
    Attributes,
    /// `<!DOCTYPE`, or something else that no answer has.
    Declaration,
}

impl fmt::Display for OutOfBounds {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            OutOfBounds::Body => write!(f, "it has more than {BODY_BYTES_MAX} bytes"),
            OutOfBounds::Tags => write!(f, "it has more than {TAGS_MAX} tags"),
            OutOfBounds::Markup => write!(f, "a tag in it has more than {MARKUP_BYTES_MAX} bytes"),
            OutOfBounds::Attributes => write!(f, "a tag in it has more than {ATTRIBUTES_MAX} attributes"),
            OutOfBounds::Declaration => f.write_str("it has a document type"),
        }
    }
}

impl Error for OutOfBounds {}

/// An error of a kind that is not retried.
impl From<OutOfBounds> for HttpError {
    fn from(reason: OutOfBounds) -> Self {
        HttpError::new(HttpErrorKind::Decode, reason)
    }
}

/// Whether `object_store` parses a successful answer to this request: a page of a list, the beginning or the
/// end of an upload in parts, or deletions.
pub(super) fn is_parsed(request: &HttpRequest) -> bool {
    let lists = |query: &str| query.split('&').any(|parameter| parameter == "list-type=2");
    request.method() == Method::POST || request.uri().query().is_some_and(lists)
}

/// Reads an answer to its end.
///
/// # Errors
/// When it is too long, or the connection breaks off.
pub(super) async fn read(body: HttpResponseBody) -> Result<Bytes, HttpError> {
    let mut chunks = body.bytes_stream();
    let mut read = BytesMut::new();
    while let Some(chunk) = chunks.try_next().await? {
        if read.len() + chunk.len() > BODY_BYTES_MAX {
            return Err(OutOfBounds::Body.into());
        }
        read.extend_from_slice(&chunk);
    }
    Ok(read.freeze())
}

/// Reads an answer that is parsed next.
///
/// # Errors
/// As [`read`], and when its markup is out of bounds.
pub(super) async fn read_xml(body: HttpResponseBody) -> Result<Bytes, HttpError> {
    let read = read(body).await?;
    check(&read)?;
    Ok(read)
}

/// Checks every piece of markup. Whether it is well-formed is left to the parser.
fn check(xml: &[u8]) -> Result<(), OutOfBounds> {
    let mut rest = xml;
    let mut tags = 0;
    while let Some(start) = rest.iter().position(|byte| *byte == b'<') {
        tags += 1;
        if tags > TAGS_MAX {
            return Err(OutOfBounds::Tags);
        }
        let markup = rest.get(start..).unwrap_or_default();
        let near = markup.get(..MARKUP_BYTES_MAX).unwrap_or(markup);
        let Some(length) = markup_length(near)? else {
            // The parser refuses a document that ends within markup, and looks at no attributes of it.
            let ends = near.len() == markup.len();
            return if ends { Ok(()) } else { Err(OutOfBounds::Markup) };
        };
        rest = markup.get(length..).unwrap_or_default();
    }
    Ok(())
}

/// The length of the markup at the beginning of `text`; `None` if its end is not there.
fn markup_length(text: &[u8]) -> Result<Option<usize>, OutOfBounds> {
    for (start, end) in SECTIONS {
        if let Some(inside) = text.strip_prefix(start) {
            let found = inside.windows(end.len()).position(|bytes| bytes == end);
            return Ok(found.map(|at| start.len() + at + end.len()));
        }
    }
    if text.starts_with(b"<!") {
        return Err(OutOfBounds::Declaration);
    }
    tag_length(text)
}

/// The length of the tag at the beginning of `text`. As to the parser, `>` within quotes does not end it.
fn tag_length(text: &[u8]) -> Result<Option<usize>, OutOfBounds> {
    let mut quote = None;
    let mut attributes = 0;
    for (at, byte) in text.iter().enumerate() {
        match (quote, *byte) {
            (None, b'>') => return Ok(Some(at + 1)),
            (None, b'"' | b'\'') => quote = Some(*byte),
            (Some(open), close) if open == close => quote = None,
            // Every attribute has one of its own, whatever the parser takes for its name and its value.
            (_, b'=') => {
                attributes += 1;
                if attributes > ATTRIBUTES_MAX {
                    return Err(OutOfBounds::Attributes);
                }
            }
            _ => {}
        }
    }
    Ok(None)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `<a b="" b="" …>`
    fn tag(attributes: usize) -> String {
        format!("<a{}>", " b=\"\"".repeat(attributes))
    }

    #[tokio::test]
    async fn the_longest_page_of_a_list_is_far_within_the_bounds() {
        let entry = format!(
            "<Contents><Key>{}</Key><LastModified>2026-01-02T03:04:05.000Z</LastModified>\
             <ETag>&quot;d41d8cd98f00b204e9800998ecf8427e-10000&quot;</ETag>\
             <ChecksumAlgorithm>SHA256</ChecksumAlgorithm><ChecksumType>COMPOSITE</ChecksumType>\
             <Owner xmlns:xsi=\"http://www.w3.org/2001/XMLSchema-instance\" xsi:type=\"CanonicalUser\">\
             <ID>{}</ID><DisplayName>{}</DisplayName></Owner><Size>5497558138880</Size>\
             <StorageClass>INTELLIGENT_TIERING</StorageClass></Contents>\n",
            "&quot;".repeat(1024),
            "f".repeat(64),
            "n".repeat(255),
        );
        let page = format!(
            "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n\
             <ListBucketResult xmlns=\"http://s3.amazonaws.com/doc/2006-03-01/\">{}</ListBucketResult>",
            entry.repeat(1000)
        );
        assert!(page.len() < 7 << 20, "{}", page.len());
        let read = read_xml(page.clone().into()).await.expect("within the bounds");
        assert!(read == page, "the page differs");
    }

    #[tokio::test]
    async fn an_answer_is_read_up_to_its_greatest_length() {
        let all = read(vec![b' '; BODY_BYTES_MAX].into()).await.expect("read");
        assert_eq!(all.len(), BODY_BYTES_MAX);
        let error = read(vec![b' '; BODY_BYTES_MAX + 1].into()).await;
        let error = error.expect_err("too long");
        assert_eq!(error.kind(), HttpErrorKind::Decode);
        let reason = error
            .source()
            .and_then(|source| source.downcast_ref::<OutOfBounds>());
        assert_eq!(reason, Some(&OutOfBounds::Body));
    }

    #[test]
    fn there_may_be_so_many_tags() {
        for tag in ["<a/>", "<a>", "<!---->"] {
            assert_eq!(check(tag.repeat(TAGS_MAX).as_bytes()), Ok(()), "{tag}");
            let many = tag.repeat(TAGS_MAX + 1);
            assert_eq!(check(many.as_bytes()), Err(OutOfBounds::Tags), "{tag}");
        }
    }

    #[test]
    fn a_tag_may_have_few_attributes() {
        assert_eq!(check(tag(ATTRIBUTES_MAX).as_bytes()), Ok(()));
        let many = ATTRIBUTES_MAX + 1;
        for xml in [
            tag(many),
            tag(200_000),
            format!("<r>{}</r>", tag(many)),
            format!("<a{}/>", " b=''".repeat(many)),
            format!("<a{}>", " b=c".repeat(many)),
            format!("<a{}>", "\n\tb = \"c\"".repeat(many)),
            format!("</a{}>", " b=''".repeat(many)),
            // A parser may take any of these quotes for a part of a name.
            format!("<a b\"{}\">", " b=''".repeat(many)),
        ] {
            let start = xml.get(..50).unwrap_or(&xml);
            assert_eq!(check(xml.as_bytes()), Err(OutOfBounds::Attributes), "{start}");
        }
    }

    #[test]
    fn nothing_hides_a_tag() {
        let tag = tag(ATTRIBUTES_MAX + 1);
        for before in [
            "",
            "it's ",
            "5 > 4 ",
            "<!-- ' -->",
            "<!-- \" > <b -->",
            "<!---->",
            "<![CDATA[ ' ]] > ]]>",
            "<![CDATA[]]>",
            "<?xml version='1.0\"?>",
            "<? > ' ?>",
            "<b c='>'>",
            "<b c=\"'\">",
            "<b/></b>",
            "<>",
        ] {
            let xml = format!("{before}{tag}");
            assert_eq!(check(xml.as_bytes()), Err(OutOfBounds::Attributes), "{before}");
        }
    }

    #[test]
    fn what_is_in_a_comment_or_in_cdata_is_no_tag() {
        let tag = tag(ATTRIBUTES_MAX + 1);
        for xml in [
            format!("<!-- {tag} -->"),
            format!("<Key><![CDATA[it's {tag}]]></Key>"),
            format!("<?a {tag}?>"),
            format!("<a b='{}'>", ">".repeat(1000)),
            // As long as the service keeps the connection open, and a text.
            format!("{}<a/>{}", " \r\n".repeat(10_000), "x".repeat(10_000)),
        ] {
            assert_eq!(check(xml.as_bytes()), Ok(()));
        }
    }

    #[test]
    fn markup_has_a_greatest_length() {
        let long = "x".repeat(MARKUP_BYTES_MAX);
        for (start, end) in [
            ("<", ">"),
            ("<a b=\"", "\">"),
            ("<a b='>", "'>"),
            ("</", ">"),
            ("<!--", "-->"),
            ("<![CDATA[", "]]>"),
            ("<?", "?>"),
        ] {
            let fitting = MARKUP_BYTES_MAX - start.len() - end.len();
            let xml = format!("<r>{start}{}{end}<s/>", "x".repeat(fitting));
            assert_eq!(check(xml.as_bytes()), Ok(()), "{start}");
            for end in [end, ""] {
                let xml = format!("<r>{start}{long}{end}<s/>");
                assert_eq!(check(xml.as_bytes()), Err(OutOfBounds::Markup), "{start}");
            }
        }
    }

    #[test]
    fn a_document_type_is_refused() {
        for xml in [
            "<!DOCTYPE r [<!ENTITY a 'b'>]><r/>",
            "<r/><!doctype r>",
            "<![x",
            "<!",
            "<!->",
        ] {
            assert_eq!(check(xml.as_bytes()), Err(OutOfBounds::Declaration), "{xml}");
        }
    }

    #[test]
    fn what_is_not_complete_is_left_to_the_parser() {
        for xml in [
            "",
            "no XML",
            "<",
            "<a",
            "<a b='",
            "<!-- ",
            "<![CDATA[ ]]",
            "<?>",
            "<r><a",
        ] {
            assert_eq!(check(xml.as_bytes()), Ok(()), "{xml}");
        }
    }
}
