package admin

import "encoding/json"

// reply answers 200 with a body.
func (x *exchange) reply(body any) error {
	text, err := json.Marshal(body)
	if err != nil {
		return err
	}
	x.w.Header().Set("Content-Type", "application/json")
	x.w.Header().Set("X-Content-Type-Options", "nosniff")
	_, _ = x.w.Write(append(text, '\n')) // a client that went away has no use for an error
	return nil
}
