//! As much of HTTP as it takes, by hand, so that what is odd on the wire is ours to choose.

use std::io;

use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// A request, read whole.
pub(crate) struct Asked {
    pub(crate) line: String,
    headers: Vec<(String, String)>,
    pub(crate) body: String,
}

impl Asked {
    /// Reads one; `None` where the peer has nothing to say.
    pub(crate) async fn read(stream: &mut TcpStream) -> io::Result<Option<Self>> {
        let mut read = Vec::new();
        let head = loop {
            if let Some(end) = read.windows(4).position(|it| it == b"\r\n\r\n") {
                break end;
            }
            if stream.read_buf(&mut read).await? == 0 {
                return Ok(None);
            }
        };
        let text = String::from_utf8_lossy(&read[..head]).into_owned();
        let mut lines = text.split("\r\n");
        let line = lines.next().unwrap_or_default().to_owned();
        let headers = lines
            .filter_map(|line| line.split_once(':'))
            .map(|(name, value)| (name.to_ascii_lowercase(), value.trim().to_owned()))
            .collect();
        let mut asked = Self {
            line,
            headers,
            body: String::new(),
        };
        let length = asked.header("content-length").unwrap_or("0");
        let whole = head + 4 + length.parse::<usize>().map_err(io::Error::other)?;
        while read.len() < whole {
            if stream.read_buf(&mut read).await? == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
        }
        asked.body = String::from_utf8_lossy(&read[head + 4..]).into_owned();
        Ok(Some(asked))
    }

    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        let found = self.headers.iter().find(|(own, _)| own == name);
        found.map(|(_, value)| value.as_str())
    }

    pub(crate) fn bearer(&self) -> Option<&str> {
        self.header("authorization")?.strip_prefix("Bearer ")
    }

    /// A field of the form in the body.
    pub(crate) fn form(&self, name: &str) -> Option<String> {
        field(&self.body, name)
    }

    /// A parameter of the query.
    pub(crate) fn query(&self, name: &str) -> Option<String> {
        field(self.path().split_once('?')?.1, name)
    }

    pub(crate) fn path(&self) -> &str {
        self.line.split(' ').nth(1).unwrap_or_default()
    }
}

fn field(form: &str, name: &str) -> Option<String> {
    form_urlencoded::parse(form.as_bytes())
        .find(|(key, _)| key == name)
        .map(|(_, value)| value.into_owned())
}

/// An answer, and where its body ends.
pub(crate) enum Answer {
    /// At the connection's end, as in HTTP/1.0.
    UntilClosed(&'static str, String),
    /// After a last chunk, as chunks of a few bytes.
    Chunked(&'static str, String),
    /// Where its length says.
    Sized(&'static str, &'static str, String),
}

impl Answer {
    /// JSON as Google writes it, over several lines.
    pub(crate) fn json(value: &Value) -> Self {
        Self::Chunked("200 OK", format!("{value:#}\n"))
    }

    pub(crate) fn refusal(status: &'static str, body: impl Into<String>) -> Self {
        Self::Sized(status, "", body.into())
    }

    pub(crate) async fn write(self, stream: &mut TcpStream) -> io::Result<()> {
        let wire = match self {
            Self::UntilClosed(headers, body) => format!("HTTP/1.0 200 OK\r\n{headers}\r\n{body}"),
            Self::Chunked(status, body) => {
                let mut wire = format!(
                    "HTTP/1.1 {status}\r\nCONTENT-TYPE: application/json; charset=UTF-8\r\n\
                     Vary: Origin\r\nVARY: X-Origin\r\nTRANSFER-ENCODING: chunked\r\n\r\n"
                );
                for chunk in body.as_bytes().chunks(7) {
                    let text = String::from_utf8_lossy(chunk);
                    wire += &format!("{:X};of=seven\r\n{text}\r\n", chunk.len());
                }
                wire + "0\r\n\r\n"
            }
            Self::Sized(status, headers, body) => {
                let length = body.len();
                format!("HTTP/1.1 {status}\r\n{headers}content-length: {length}\r\n\r\n{body}")
            }
        };
        stream.write_all(wire.as_bytes()).await?;
        stream.shutdown().await
    }
}
