package httpapi_test

import (
	"context"
	"fmt"
	"net/http/httptest"

	"causeway/homeserver/httpapi"

	"maunium.net/go/mautrix/id"
)

const v3 = "/_matrix/client/(v3|r0)"

type api struct{ topics map[id.RoomID]string }

func (a *api) routes() []httpapi.Route {
	return []httpapi.Route{
		{"GET", v3 + "/rooms/{roomId}/state/{eventType}/{$}", httpapi.Public, httpapi.JSON(a.state)},
		{"GET", v3 + "/rooms/{roomId}/state/{eventType}/{stateKey}", httpapi.Public, httpapi.JSON(a.state)},
	}
}

type topicResponse struct {
	Topic string `json:"topic"`
}

func (a *api) state(_ context.Context, r *httpapi.Request, _ httpapi.Empty) (topicResponse, error) {
	topic, ok := a.topics[id.RoomID(r.Path("roomId"))]
	if !ok || r.Path("eventType") != "m.room.topic" || r.Path("stateKey") != "" {
		return topicResponse{}, httpapi.NotFound("There is no such state")
	}
	return topicResponse{Topic: topic}, nil
}

func Example() {
	a := &api{topics: map[id.RoomID]string{"!a:hs": "Gophers & friends"}}
	mux := httpapi.NewMux(a.routes(), httpapi.Options{})
	for _, path := range []string{"/state/m.room.topic", "/state/m.room.topic/", "/state/m.room.topic/x", "/oops"} {
		recorder := httptest.NewRecorder()
		mux.ServeHTTP(recorder, httptest.NewRequest("GET", "/_matrix/client/r0/rooms/%21a%3Ahs"+path, nil))
		fmt.Println(recorder.Code, recorder.Body)
	}
	// Output:
	// 200 {"topic":"Gophers & friends"}
	// 200 {"topic":"Gophers & friends"}
	// 404 {"errcode":"M_NOT_FOUND","error":"There is no such state"}
	// 404 {"errcode":"M_UNRECOGNIZED","error":"Unrecognized request"}
}
