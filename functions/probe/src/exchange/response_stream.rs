//! The stream below HTTP: limits how much of a response comes before its head ends, and lets other tasks run in between.
//!
//! A server that sends without a pause would keep hyper and h2 reading, and neither deadlines nor other probes would have
//! their turn. The heads of interim responses have no limit in hyper.

use std::{
    io,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
    task::{Context, Poll, Waker},
};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::{
    connect::Stream,
    head::{self, MAX_HEADERS},
};

/// Bytes that are read before other tasks have their turn.
const PER_TURN: usize = 16 << 10;
/// Bytes of a header line that are kept, which its name and a number fit into.
const KEPT_OF_LINE: usize = 64;
/// Lengths from here on have another meaning in hyper.
const TOO_LONG: u64 = u64::MAX - 1;

/// A stream that is not read before it is written to. hyper takes bytes that come before its request for an error of an
/// idle connection; a server that answers as soon as it is connected to, such as one that is overloaded, has answered.
pub(super) struct ResponseStream {
    stream: Stream,
    is_written: bool,
    reader: Option<Waker>,
    read_in_turn: usize,
    watch: HeadWatch,
}

/// How the end of the response head is found.
enum HeadWatch {
    Http1(HeadScanner),
    Http2 { left: usize, is_complete: Arc<AtomicBool> },
}

impl ResponseStream {
    /// Reads heads of at most `limit` bytes, those of interim responses included.
    pub(super) fn http1(stream: Stream, limit: usize) -> Self {
        Self::new(stream, HeadWatch::Http1(HeadScanner::new(limit)))
    }

    /// Reads at most `limit` bytes until the head is complete, which the caller reports.
    pub(super) fn http2(stream: Stream, limit: usize, is_complete: Arc<AtomicBool>) -> Self {
        Self::new(stream, HeadWatch::Http2 { left: limit, is_complete })
    }

    fn new(stream: Stream, watch: HeadWatch) -> Self {
        Self { stream, is_written: false, reader: None, read_in_turn: 0, watch }
    }

    fn written(&mut self, written: Poll<io::Result<usize>>) -> Poll<io::Result<usize>> {
        if written.is_ready() {
            self.is_written = true;
            self.reader.take().map(Waker::wake).unwrap_or_default();
        }
        written
    }
}

impl HeadWatch {
    fn read(&mut self, bytes: &[u8]) -> Result<(), String> {
        match self {
            Self::Http1(scanner) => scanner.read(bytes),
            Self::Http2 { is_complete, .. } if is_complete.load(Relaxed) => Ok(()),
            Self::Http2 { left, .. } => {
                *left = left.checked_sub(bytes.len()).ok_or_else(|| head::too_large().message)?;
                Ok(())
            }
        }
    }
}

/// Follows the lines of HTTP/1.1 heads up to the end of the final one.
struct HeadScanner {
    left: usize,
    interim_lines: usize,
    /// The status of the head that is being read; none before its status line.
    status: Option<u16>,
    is_complete: bool,
    /// The beginning of the line.
    line: Vec<u8>,
    has_control: bool,
    /// The header that the line belongs to, if a control character in it would change where the message leads or ends.
    name: Option<&'static str>,
}

impl HeadScanner {
    fn new(limit: usize) -> Self {
        Self {
            left: limit,
            interim_lines: 0,
            status: None,
            is_complete: false,
            line: Vec::with_capacity(KEPT_OF_LINE),
            has_control: false,
            name: None,
        }
    }

    fn read(&mut self, bytes: &[u8]) -> Result<(), String> {
        for &byte in bytes {
            if self.is_complete {
                break;
            }
            self.left = self.left.checked_sub(1).ok_or_else(|| head::too_large().message)?;
            if byte == b'\n' {
                self.end_line()?;
                self.line.clear();
                self.has_control = false;
                continue;
            }
            self.has_control |= byte.is_ascii_control() && byte != b'\t' && byte != b'\r';
            if self.line.len() < KEPT_OF_LINE {
                self.line.push(byte);
            }
        }
        Ok(())
    }

    fn end_line(&mut self) -> Result<(), String> {
        let line = self.line.strip_suffix(b"\r").unwrap_or(&self.line);
        let Some(status) = self.status else {
            // Empty lines before a status line mean nothing.
            if !line.is_empty() {
                let status =
                    line.split(|&byte| byte == b' ').nth(1).and_then(|digits| std::str::from_utf8(digits).ok());
                self.status = Some(status.and_then(|digits| digits.parse().ok()).unwrap_or_default());
                self.name = None;
            }
            return Ok(());
        };
        let is_interim = matches!(status, 100 | 102..=199);
        if is_interim {
            self.interim_lines += 1;
            if self.interim_lines > MAX_HEADERS {
                return Err(head::too_large().message);
            }
        }
        if line.is_empty() {
            self.is_complete = !is_interim;
            self.status = None;
            return Ok(());
        }
        if is_interim {
            return Ok(());
        }
        let mut parts = line.splitn(2, |&byte| byte == b':');
        if !line.starts_with(b" ") && !line.starts_with(b"\t") {
            let name = parts.next().unwrap_or_default().trim_ascii();
            let watched = ["content-length", "transfer-encoding", "location"].into_iter();
            let mut watched = watched.filter(|&name| name != "location" || (300..400).contains(&status));
            self.name = watched.find(|watched| watched.as_bytes().eq_ignore_ascii_case(name));
        }
        let Some(name) = self.name else { return Ok(()) };
        if self.has_control {
            return Err(format!("the header {name} has a control character in its value"));
        }
        let length = parts.next().and_then(|value| std::str::from_utf8(value.trim_ascii()).ok()?.parse().ok());
        match length {
            Some(length @ TOO_LONG..) if name == "content-length" => {
                Err(format!("the header content-length is {length}: expected less than {TOO_LONG}"))
            }
            _ => Ok(()),
        }
    }
}

impl AsyncRead for ResponseStream {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if !self.is_written {
            self.reader = Some(context.waker().clone());
            return Poll::Pending;
        }
        if self.read_in_turn >= PER_TURN {
            self.read_in_turn = 0;
            context.waker().wake_by_ref();
            return Poll::Pending;
        }
        let size = buffer.remaining().min(PER_TURN - self.read_in_turn);
        let mut part = ReadBuf::new(buffer.initialize_unfilled_to(size));
        let Poll::Ready(read) = Pin::new(&mut self.stream).poll_read(context, &mut part) else {
            self.read_in_turn = 0;
            return Poll::Pending;
        };
        read?;
        let bytes = part.filled();
        self.watch.read(bytes).map_err(|message| io::Error::new(io::ErrorKind::InvalidData, message))?;
        let size = bytes.len();
        self.read_in_turn += size;
        buffer.advance(size);
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for ResponseStream {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write(context, bytes);
        self.written(written)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write_vectored(context, slices);
        self.written(written)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn scan(bytes: &[u8]) -> Result<(usize, bool), String> {
        let mut scanner = HeadScanner::new(1_000_000);
        scanner.read(bytes)?;
        Ok((1_000_000 - scanner.left, scanner.is_complete))
    }

    #[test]
    fn scanner_counts_bytes_up_to_the_end_of_the_final_head() {
        let last = "HTTP/1.1 200 OK\r\nx-a: b\r\n\r\n";
        for before in ["", "\r\n", "HTTP/1.1 100 Continue\r\n\r\n", "HTTP/1.1 103 E\nlink: a\n\nHTTP/1.1 199 E\n\n"] {
            let text = format!("{before}{last}a\r\n\r\nbody");
            assert_eq!(scan(text.as_bytes()), Ok((before.len() + last.len(), true)), "{before}");
        }
        assert_eq!(scan(b"HTTP/1.1 101 S\r\n\r\nbody"), Ok((18, true)));
        assert_eq!(scan(b"HTTP/1.1 103 E\r\n\r\nHTTP/1.1 200 OK\r\n"), Ok((35, false)));
    }

    #[test]
    fn scanner_refuses_control_characters_in_headers_that_frame_or_redirect() {
        for (line, status, name) in [
            ("Location: /a\u{1}b", 302, Some("location")),
            ("location:\r\n /a\u{7f}", 302, Some("location")),
            ("location: /a\u{1}b", 200, None),
            ("location: /a\tb", 302, None),
            ("content-length : \u{1}2", 200, Some("content-length")),
            ("Transfer-Encoding: chunked\u{b}", 200, Some("transfer-encoding")),
            ("x-a: \u{1}", 302, None),
        ] {
            let scanned = scan(format!("HTTP/1.1 {status} X\r\n{line}\r\n\r\n").as_bytes());
            assert_eq!(scanned.is_err(), name.is_some(), "{line:?}");
            assert!(scanned.err().unwrap_or_default().contains(name.unwrap_or_default()), "{line:?}");
        }
    }

    #[test]
    fn scanner_limits_bytes_and_interim_heads() {
        let mut scanner = HeadScanner::new(30);
        assert_eq!(scanner.read(b"HTTP/1.1 103 E\r\n\r\nHTTP/1.1 2"), Ok(()));
        assert!(scanner.read(b"00 OK").unwrap_err().contains("larger"));
        let interim = "HTTP/1.1 103 E\r\n\r\n".repeat(MAX_HEADERS + 1);
        assert!(scan(interim.as_bytes()).unwrap_err().contains("larger"));
    }

    #[tokio::test]
    async fn endless_stream_gives_way_after_each_turn() {
        use std::future::poll_fn;
        use tokio::io::{AsyncWriteExt as _, join, repeat, sink};

        let endless = Box::new(join(repeat(b'a'), sink()));
        let mut stream = ResponseStream::http2(endless, 5 * PER_TURN, Arc::new(AtomicBool::new(false)));
        stream.write_all(b"request").await.unwrap();
        let mut bytes = vec![0; 10 * PER_TURN];
        let turns = poll_fn(|context| {
            let mut turns = vec![0];
            loop {
                let mut buffer = ReadBuf::new(&mut bytes);
                match Pin::new(&mut stream).poll_read(context, &mut buffer) {
                    Poll::Ready(Ok(())) => *turns.last_mut().unwrap() += buffer.filled().len(),
                    Poll::Ready(Err(error)) => return Poll::Ready((turns, error.to_string())),
                    Poll::Pending => turns.push(0),
                }
            }
        });
        let (turns, error) = turns.await;
        assert_eq!(turns, [PER_TURN, PER_TURN, PER_TURN, PER_TURN, PER_TURN, 0]);
        assert!(error.contains("larger than"), "{error}");
    }
}
