package web

func (s *Server) documents() []Route { return nil }
func (s *Server) document() error    { return nil }
