package watch

import "encoding/binary"

// Frames a server sends are few and simple (RFC 6455 5.2: final, not masked, never compressed), so they
// are built once and shared by all connections, and many go out with one system call.
const (
	opText  = 1
	opClose = 8
	opPing  = 9
	opPong  = 10

	maxHeader = 10
)

// sealFrame writes the header of a frame into the space of maxHeader bytes in front of its payload and
// returns the frame.
func sealFrame(op byte, buf []byte) []byte {
	n := len(buf) - maxHeader
	var at int
	switch {
	case n < 126:
		at = maxHeader - 2
		buf[at+1] = byte(n)
	case n < 1<<16:
		at = maxHeader - 4
		buf[at+1] = 126
		binary.BigEndian.PutUint16(buf[at+2:], uint16(n))
	default:
		at = 0
		buf[at+1] = 127
		binary.BigEndian.PutUint64(buf[at+2:], uint64(n))
	}
	buf[at] = 0x80 | op
	return buf[at:]
}

// frameOf returns a frame with the given payload.
func frameOf(op byte, payload []byte) []byte {
	buf := make([]byte, maxHeader, maxHeader+len(payload))
	return sealFrame(op, append(buf, payload...))
}

// closeFrame returns a close frame; the reason is cut to what fits into one.
func closeFrame(code int, reason string) []byte {
	if len(reason) > 123 {
		reason = reason[:123]
	}
	return frameOf(opClose, append(binary.BigEndian.AppendUint16(nil, uint16(code)), reason...))
}
