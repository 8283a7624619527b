package watch

import "github.com/gorilla/websocket"

// query are the parameters of the handshake, as admit and startPosition read them.
type query struct {
	Events     string `query:"events" doc:"categories that are sent, with commas between them; all that the caller may see when absent" example:"task,batch"`
	EventTypes string `query:"event_types" doc:"only events of these types, with commas between them" example:"TaskStatusChanged,BatchStatusChanged"`
	Infra      string `query:"infra" doc:"only events of work on these infras, with commas between them: of the tasks of workflows, for an operation of a batch names a provider" example:"production"`
	TaskIDs    string `query:"task_ids" doc:"only events of these tasks or workflows, whose id is that of their task; with batch_ids beside it, of either" example:"01997b1c-0000-7000-8000-000000000001"`
	BatchIDs   string `query:"batch_ids" doc:"only events of these batches; with task_ids beside it, of either" example:"01997b1c-0000-7000-8000-000000000002"`
	Since      uint64 `query:"since" doc:"sequence of the last event you have: everything after it comes first, without a gap; only new events when absent" example:"4711"`
	Epoch      string `query:"epoch" doc:"the epoch of the event that since names; sequences of another one mean nothing" example:"5d7f4a2e-0a3e-4f4a-8a2e-5d7f4a2e0a3e"`
	BatchSize  int    `query:"batch_size" min:"1" max:"1000" doc:"send as many events at most as one list; one event a message when absent" example:"100"`
	Ticket     string `query:"ticket" doc:"a ticket of POST /ws/tickets, for pages of a browser: it is used up by this handshake" example:"wst_3q2-796tvu_erb7v3q2-796tvu_erb7v3q2-796tvu8"`
	Token      string `query:"token" doc:"the token, for clients that can send no header; addresses are often logged: rather send the Authorization header, or a message of type auth within 10 s" example:"eyJhbGciOiJFZERTQSJ9.e30.c2lnbmF0dXJl"`
}

// Description is what a document says about the socket: the parameters of the handshake, what is
// sent and heard, and the codes with which the service closes it.
type Description struct {
	Query        any
	Sends, Hears []any
	Closes       map[int]string
}

// Describe returns the description.
func Describe() Description {
	return Description{
		Query: query{}, Sends: []any{Event{}, answer{}}, Hears: []any{message{}},
		Closes: map[int]string{
			websocket.CloseNormalClosure:           "the client has closed it",
			websocket.CloseGoingAway:               "the service is shutting down: connect again with since",
			websocket.CloseProtocolError:           "a frame was not as RFC 6455 has it",
			websocket.CloseUnsupportedData:         "a message was not text",
			websocket.CloseInvalidFramePayloadData: "a text was not UTF-8",
			websocket.ClosePolicyViolation:         "more than 50 messages a second, or nothing heard for 50 s: answer pings",
			websocket.CloseMessageTooBig:           "a message was larger than 64 KiB",
			websocket.CloseInternalServerErr:       "the store of the events cannot be read: connect again with since",
			closeSlow: "the client was 1,024 events behind and took nothing for 10 s, or has too many " +
				"sockets: connect again with since",
			closeUnauthenticated: "no token came within 10 s, or it is not valid (any more): sign in again and " +
				"connect with since",
			closeReset: "the events that come next are not kept any more: read the state anew and connect " +
				"without since",
		},
	}
}
