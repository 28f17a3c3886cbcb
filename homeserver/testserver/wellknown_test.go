package testserver_test

import (
	"testing"

	"causeway/homeserver"
	"causeway/homeserver/clientapi"
)

func TestWellKnownSupport(t *testing.T) {
	each(t, "", func(s *script) {
		s.run([]step{{"nobody to ask", "nobody GET /.well-known/matrix/support", ``, 404, "M_NOT_FOUND", ""}})
	})
	each(t, "", func(s *script) {
		s.run([]step{{
			"somebody to ask", "nobody GET /.well-known/matrix/support", ``, 200,
			"contacts/0/role=m.role.admin contacts/0/matrix_id=@admin:test support_page=https://test/help", "",
		}})
	}, func(c *homeserver.Config) {
		c.Support = clientapi.Support{
			Contacts: []clientapi.Contact{{Role: "m.role.admin", MatrixID: "@admin:test"}}, Page: "https://test/help",
		}
	})
}
