//! The tables.

use super::{Case, request, response, to_connect, to_head};

/// Requests as they should be, and what is no request.
pub const REQUESTS: &[Case] = &[
    request(b"", ""),
    request(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n", "Begin [GET / None] End"),
    request(b"GET / HTTP/1.1\r\n\r\nGET /2 HTTP/1.0\r\n\r\n", "Begin [GET / None] End Begin [GET /2 None] End"),
    request(b"\r\n\r\nGET / HTTP/1.1\r\n\r\n", "Begin [GET / None empty_line] End"),
    request(b"M-SEARCH * HTTP/1.1\r\n\r\n", "Begin [M-SEARCH * None] End"),
    request(b"!#$%&'*+.^_`|~ /x HTTP/1.1\r\n\r\n", "Begin [!#$%&'*+.^_`|~ /x None] End"),
    request(b"CONNECT a:443 HTTP/1.1\r\n\r\n", "Begin [CONNECT a:443 None] End"),
    request(b"GET / HTTP/1.1\r\nUpgrade: h2c\r\n\r\n", "Begin [GET / None] End"),
    request(
        b"POST /a HTTP/1.1\r\nContent-Length: 3\r\n\r\nabc",
        "Begin [POST /a Length(3)] Content(3) End",
    ),
    request(b"POST /a HTTP/1.1\r\nCONTENT-LENGTH:0\r\n\r\n", "Begin [POST /a Length(0)] End"),
    request(b"POST /a HTTP/1.1\r\nContent-Length: 3\r\n\r\nab", "Begin [POST /a Length(3)] Content(2) | Incomplete"),
    // Content that looks like a request is content.
    request(
        b"POST / HTTP/1.1\r\nContent-Length: 18\r\n\r\nGET / HTTP/1.1\r\n\r\n",
        "Begin [POST / Length(18)] Content(18) End",
    ),
    request(
        b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n1a;n=\"v\";m\r\nabcdefghijklmnopqrstuvwxyz\r\n0\r\n\r\n",
        "Begin [POST / Chunked] Content(31) End",
    ),
    request(
        b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n000A\r\nGET / HTTP\r\n00\r\nGET: / HTTP/1.1\r\nX: y\r\n\r\n",
        "Begin [POST / Chunked] Content(10) End",
    ),
    request(b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n", "Begin [POST / Chunked] | Incomplete"),
    request(b"GET / HT", "Begin | Incomplete"),
    request(b"GET / HTTP/1.1\r\nHost", "Begin | Incomplete"),
    // Other protocols.
    request(b"\x16\x03\x01\x02\x00", "NotHttp"),
    request(b"*1\r\n$4\r\nPING\r\n", "Begin NotHttp"),
    request(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", "Begin NotHttp"),
    request(b"GET /\r\n", "Begin NotHttp"),
    request(b"GET / HTTP/1.\r\n\r\n", "Begin NotHttp"),
    request(b"GET / http/1.1\r\n\r\n", "Begin NotHttp"),
    request(b"GET /HTTP/1.1\r\n\r\n", "Begin NotHttp"),
    request(b"INVITE sip:a SIP/2.0\r\n\r\n", "Begin NotHttp"),
    request(
        b"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa\
          aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa\
          aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa\
          aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa / HTTP/1.1\r\n\r\n",
        "Begin NotHttp",
    ),
    request(b"GET / HTTP/1.1\r\n\r\n\0", "Begin [GET / None] End NotHttp"),
    request(b"GET /a\0b HTTP/1.1\r\n\r\n", "Begin NotHttp"),
];

/// Requests that depart from the grammar.
pub const ODD_REQUESTS: &[Case] = &[
    request(b"GET / HTTP/1.1\nHost: a\n\n", "Begin [GET / None bare_lf] End"),
    request(b"GET / HTTP/1.1\r\nHost: a\n\r\n", "Begin [GET / None bare_lf] End"),
    request(b"GET / HTTP/1.1\r\nX: a\rb\r\n\r\n", "Begin [GET / None bare_cr odd_value] End"),
    request(b"GET  /a b\tHTTP/1.1 \r\n\r\n", "Begin [GET /a b None odd_start_line] End"),
    request(b"GET HTTP/1.1\r\n\r\n", "Begin [GET  None odd_start_line] End"),
    request(b"GET / HTTP/1.2\r\n\r\n", "Begin [GET / None odd_version] End"),
    request(b"GET / HTTP/1.1\r\n X: y\r\nA: b\r\n\r\n", "Begin [GET / None leading_space] End"),
    request(b"GET / HTTP/1.1\r\nnonsense\r\n\r\n", "Begin [GET / None no_colon] End"),
    request(b"GET / HTTP/1.1\r\nX\x85: y\r\n: z\r\n\r\n", "Begin [GET / None odd_name] End"),
    request(b"GET / HTTP/1.1\r\nX: \0\r\n\r\n", "Begin [GET / None odd_value] End"),
    request(
        b"POST / HTTP/1.1\r\nContent-Length : 2\r\n\r\nab",
        "Begin [POST / Length(2) space_before_colon] Content(2) End",
    ),
    request(
        b"POST / HTTP/1.1\r\nTransfer-Encoding:\r\n chunked\r\n\r\n0\r\n\r\n",
        "Begin [POST / Chunked obs_fold] End",
    ),
    request(
        b"POST / HTTP/1.1\r\nContent-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        "Begin [POST / Chunked cl_and_te] End",
    ),
    request(
        b"POST / HTTP/1.0\r\nTransfer-Encoding: Chunked\r\n\r\n0\r\n\r\n",
        "Begin [POST / Chunked odd_coding coding_in_1_0] End",
    ),
    request(
        b"POST / HTTP/1.1\r\nTransfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n",
        "Begin [POST / Chunked odd_coding] End",
    ),
    request(
        b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n\r\n0\r\n\r\n",
        "Begin [POST / Unknown odd_coding] Lost(Framing)",
    ),
    request(
        b"POST / HTTP/1.1\r\nTransfer-Encoding: xchunked\r\nContent-Length: 1\r\n\r\na",
        "Begin [POST / Unknown cl_and_te odd_coding] Lost(Framing)",
    ),
    request(
        b"POST / HTTP/1.1\r\nTransfer-Encoding: \x0bchunked\r\n\r\n0\r\n\r\n",
        "Begin [POST / Unknown odd_value odd_coding] Lost(Framing)",
    ),
    request(
        b"POST / HTTP/1.1\r\nContent-Length: 2\r\nContent-Length: 2, 2\r\n\r\nab",
        "Begin [POST / Length(2) odd_length] Content(2) End",
    ),
    request(
        b"POST / HTTP/1.1\r\nContent-Length: 2\r\nContent-Length: 3\r\n\r\nab",
        "Begin [POST / Unknown odd_length] Lost(Framing)",
    ),
    request(
        b"POST / HTTP/1.1\r\nContent-Length: +2\r\n\r\nab",
        "Begin [POST / Unknown odd_length] Lost(Framing)",
    ),
    request(b"POST / HTTP/1.1\r\nContent-Length:\r\n\r\n", "Begin [POST / Unknown odd_length] Lost(Framing)"),
    request(
        b"POST / HTTP/1.1\r\nContent-Length: 99999999999999999999\r\n\r\nab",
        "Begin [POST / Unknown odd_length] Lost(Framing)",
    ),
    request(
        b"POST / HTTP/1.1\r\nContent-Length: 010\r\n\r\n0123456789",
        "Begin [POST / Length(10) odd_length] Content(10) End",
    ),
    // Chunks that are none.
    request(
        b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n0x1\r\n",
        "Begin [POST / Chunked] Lost(Chunk)",
    ),
    request(
        b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n\r\n",
        "Begin [POST / Chunked] Lost(Chunk)",
    ),
    request(
        b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n1\rX",
        "Begin [POST / Chunked] Lost(Chunk)",
    ),
    request(
        b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nab",
        "Begin [POST / Chunked] Content(1) Lost(Chunk)",
    ),
    request(
        b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n10000000000000000\r\n",
        "Begin [POST / Chunked] Lost(Chunk)",
    ),
    request(
        b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n2 ;x\nab\n0\na: b\n\n",
        "Begin [POST / Chunked] Content(2) End",
    ),
];

/// Responses.
pub const RESPONSES: &[Case] = &[
    response(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok", "Begin [200 Length(2)] Content(2) End"),
    response(b"HTTP/1.1 200\r\nContent-Length: 0\r\n\r\n", "Begin [200 Length(0)] End"),
    response(b"HTTP/1.1 200 \xe9t\xe9\r\nContent-Length: 0\r\n\r\n", "Begin [200 Length(0)] End"),
    response(b"HTTP/1.1 200 \x01\r\nContent-Length: 0\r\n\r\n", "Begin [200 Length(0) odd_start_line] End"),
    response(
        b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: a\r\n\r\nHTTP/1.1 204 No\r\n\r\n",
        "Begin [100 None] End Begin [103 None] End Begin [204 None] End",
    ),
    response(b"HTTP/1.1 304 Not Modified\r\nContent-Length: 9\r\n\r\n", "Begin [304 None] End"),
    response(b"HTTP/1.1 204 No\r\nContent-Length: 9\r\n\r\n", "Begin [204 None useless_framing] End"),
    response(b"HTTP/1.0 200 OK\r\n\r\nHTTP/1.1 200 OK\r\n\r\n", "Begin [200 UntilClose] Content(19) | End"),
    response(b"HTTP/1.0 200 OK\r\n\r\n", "Begin [200 UntilClose] | End"),
    response(
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n",
        "Begin [200 Chunked] Content(3) End",
    ),
    response(
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip\r\n\r\nabc",
        "Begin [200 UntilClose odd_coding] Content(3) | End",
    ),
    response(
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: identity\r\nContent-Length: 3\r\n\r\nabc",
        "Begin [200 Unknown cl_and_te odd_coding] Lost(Framing)",
    ),
    response(b"HTTP/1.1 101 Switching\r\nUpgrade: x\r\n\r\n\x81\0", "Begin [101 Tunnel] End Tunnel"),
    to_head(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n", "Begin [200 None] End"),
    to_head(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", "Begin [200 None] End"),
    to_connect(b"HTTP/1.1 200 OK\r\n\r\nGET / HTTP/1.1\r\n\r\n", "Begin [200 Tunnel] End Tunnel"),
    to_connect(
        b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\n",
        "Begin [200 Tunnel useless_framing] End Tunnel",
    ),
    to_connect(b"HTTP/1.1 407 No\r\nContent-Length: 1\r\n\r\nx", "Begin [407 Length(1)] Content(1) End"),
    response(b"ICY 200 OK\r\n\r\n", "NotHttp"),
    response(b"HTTP/2.0 200 OK\r\n\r\n", "Begin NotHttp"),
    response(b"HTTP/1.1 OK\r\n\r\n", "Begin NotHttp"),
    response(b"HTTP/1.1 2000 OK\r\n\r\n", "Begin NotHttp"),
    response(b"HTTP/1.1 200 OK\r\nA: b\r\nHTTP/1.1 200 OK\r\n\r\n", "Begin [200 UntilClose no_colon] | End"),
];
