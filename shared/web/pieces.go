package web

import (
	"errors"
	"io"
	"net/http"
)

// Pieces is an output that is written piece by piece: an export, an image, a page that grows. It
// has no envelope; the checks, the audit record and the metrics of its route are those of any
// other.
type Pieces struct {
	ContentType string
	Headers     map[string]string // over those that every answer has
	// Write writes the body; each Write to w is sent at once. An error before the first is answered
	// as any other; one behind it breaks the connection, so that the client sees that the body is
	// not complete. The time of the answer is Route.Wait.
	Write func(w io.Writer) error
}

// pieces writes an output piece by piece.
func (x *request) pieces(p Pieces) error {
	w := &pieceWriter{x: x, of: p}
	err := p.Write(w)
	switch {
	case !w.begun && err != nil:
		return err
	case !w.begun:
		w.begin()
	case err != nil:
		x.err = err
		if errors.Is(err, w.failed) {
			return nil // the client left
		}
		x.log()
		panic(http.ErrAbortHandler)
	}
	return nil
}

// pieceWriter sends what is written to it.
type pieceWriter struct {
	x      *request
	of     Pieces
	begun  bool
	failed error // of the connection
}

func (w *pieceWriter) begin() {
	w.begun = true
	h := w.x.c.Writer.Header()
	for name, value := range w.of.Headers {
		h.Set(name, value)
	}
	h.Set("Content-Type", w.of.ContentType)
	w.x.c.Writer.WriteHeader(w.x.ep.route.status())
	w.x.c.Writer.WriteHeaderNow()
}

func (w *pieceWriter) Write(piece []byte) (int, error) {
	if !w.begun {
		w.begin()
	}
	n, err := w.x.c.Writer.Write(piece)
	if err == nil {
		err = http.NewResponseController(w.x.c.Writer).Flush()
	}
	if err != nil {
		w.failed = err
	}
	return n, err
}
