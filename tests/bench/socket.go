package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/binary"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"

	"github.com/provisioning-platform/platform/shared/secret"
)

// socket reads the events of /ws and nothing else: frames as the server sends them (RFC 6455 5.2),
// without a copy: the client shares the processors with the server.
type socket struct {
	conn net.Conn
	in   *bufio.Reader
	held int // bytes of the message that was given out last
}

// dial opens a socket at the address of an orchestrator.
func dial(ctx context.Context, address string, token secret.Text) (*socket, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, address+"/ws", nil)
	if err != nil {
		return nil, err
	}
	req.Header = http.Header{"Authorization": {"Bearer " + token.Reveal()}, "Connection": {"Upgrade"}, "Upgrade": {"websocket"},
		"Sec-Websocket-Version": {"13"}, "Sec-Websocket-Key": {"AAAAAAAAAAAAAAAAAAAAAA=="}}
	conn, err := new(net.Dialer).DialContext(ctx, "tcp", req.URL.Host)
	if err != nil {
		return nil, err
	}
	s := &socket{conn: conn, in: bufio.NewReaderSize(conn, 256<<10)} // few system calls
	if err = req.Write(conn); err == nil {
		var resp *http.Response
		if resp, err = http.ReadResponse(s.in, req); err == nil && resp.StatusCode != http.StatusSwitchingProtocols {
			err = fmt.Errorf("/ws answers %s", resp.Status)
		}
	}
	if err != nil {
		_ = conn.Close()
		return nil, err
	}
	return s, nil
}

// next returns the next text message; it is good until the call after it.
func (s *socket) next() ([]byte, error) {
	for {
		if _, err := s.in.Discard(s.held); err != nil {
			return nil, err
		}
		head, err := s.in.Peek(2)
		if err != nil {
			return nil, err
		}
		op, size, length := head[0]&15, 2, uint64(head[1]&127)
		if length >= 126 {
			size += 2 + int(length-126)*6
			if head, err = s.in.Peek(size); err != nil {
				return nil, err
			}
			length = binary.BigEndian.Uint64(append(make([]byte, 10-size, 8), head[2:]...))
		}
		all, err := s.in.Peek(size + int(length))
		if err != nil {
			return nil, err
		}
		s.held = len(all)
		switch payload := all[size:]; op {
		case 1: // text
			return payload, nil
		case 8: // close
			return nil, fmt.Errorf("the server closed the socket: %q", payload)
		}
	}
}

// submit posts a batch; what the answer says is not looked at.
func submit(ctx context.Context, client *http.Client, address string, token secret.Text, body []byte) error {
	target, err := url.JoinPath(address, "batch", "execute")
	if err != nil {
		return err
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, target, bytes.NewReader(body))
	if err != nil {
		return err
	}
	req.Header = http.Header{"Authorization": {"Bearer " + token.Reveal()}, "Content-Type": {"application/json"}}
	resp, err := client.Do(req)
	if err != nil {
		return err
	}
	defer func() { _ = resp.Body.Close() }()
	said, err := io.ReadAll(resp.Body)
	if err == nil && resp.StatusCode >= 300 {
		err = fmt.Errorf("POST /batch/execute: %s: %s", resp.Status, said)
	}
	return err
}
