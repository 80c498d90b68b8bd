package main

import (
	"encoding/base64"
	"encoding/json"
	"net/http"
	"time"
)

// The tunnel API: POST /tunnel gives the credentials of a new tunnel, after a delay if a measurement wants one.
func newAPI(registry *registry, domain string, delay time.Duration) http.Handler {
	routes := http.NewServeMux()
	routes.HandleFunc("POST /tunnel", func(w http.ResponseWriter, r *http.Request) {
		time.Sleep(delay)
		made := registry.newTunnel(domain)
		registry.note("created", details{"tunnel": made.id.String(), "hostname": made.hostname()})
		writeJSON(w, http.StatusOK, details{"success": true, "errors": []string{}, "result": details{
			"id": made.id.String(), "name": made.name, "account_tag": made.accountTag,
			// With its scheme: this front speaks plain HTTP, and https:// is put before a name that has none.
			"hostname": "http://" + made.hostname(),
			"secret":   base64.StdEncoding.EncodeToString(made.secret),
		}})
	})
	return routes
}

func writeJSON(w http.ResponseWriter, status int, value any) {
	w.Header().Set("Content-Type", "application/json; charset=utf-8")
	w.WriteHeader(status)
	json.NewEncoder(w).Encode(value)
}
