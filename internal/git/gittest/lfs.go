package gittest

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
)

// PutLFS keeps content as an LFS object of every repository and returns the
// pointer file that stands for it.
func (s *Server) PutLFS(content string) (pointer string) {
	sum := sha256.Sum256([]byte(content))
	oid := hex.EncodeToString(sum[:])
	s.mu.Lock()
	defer s.mu.Unlock()
	s.objects[oid] = content
	return Pointer(oid, len(content))
}

// Pointer is an LFS pointer file.
func Pointer(oid string, size int) string {
	return fmt.Sprintf("version https://git-lfs.github.com/spec/v1\noid sha256:%s\nsize %d\n", oid, size)
}

// serveLFS answers the batch API and downloads. The request has been let in.
func (s *Server) serveLFS(w http.ResponseWriter, r *http.Request, path string) {
	oid, isObject := strings.CutPrefix(path, "objects/")
	switch {
	case path == "objects/batch" && r.Method == http.MethodPost:
		s.batch(w, r)
	case isObject && r.Method == http.MethodGet:
		s.mu.Lock()
		content, found := s.objects[oid]
		s.mu.Unlock()
		if !found {
			http.NotFound(w, r)
			return
		}
		_, _ = w.Write([]byte(content))
	default:
		http.NotFound(w, r)
	}
}

// lfsObject is one object of the batch API.
type lfsObject struct {
	OID     string               `json:"oid"`
	Size    int64                `json:"size"`
	Actions map[string]lfsAction `json:"actions,omitempty"`
	Error   *lfsError            `json:"error,omitempty"`
}

type lfsAction struct {
	Href   string            `json:"href"`
	Header map[string]string `json:"header,omitempty"`
}

type lfsError struct {
	Code    int    `json:"code"`
	Message string `json:"message"`
}

// ObjectsAt makes the server name another place for its LFS objects, with
// headers for it: base and the object's id.
func (s *Server) ObjectsAt(base string, header map[string]string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.store = lfsAction{Href: base, Header: header}
}

func (s *Server) batch(w http.ResponseWriter, r *http.Request) {
	var ask struct {
		Operation string      `json:"operation"`
		Objects   []lfsObject `json:"objects"`
	}
	if err := json.NewDecoder(r.Body).Decode(&ask); err != nil || ask.Operation != "download" {
		http.Error(w, "a download in JSON is wanted", http.StatusUnprocessableEntity)
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	for i, o := range ask.Objects {
		content, found := s.objects[o.OID]
		if !found || int64(len(content)) != o.Size {
			ask.Objects[i].Error = &lfsError{http.StatusNotFound, "no such object"}
			continue
		}
		action := s.store
		if action.Href == "" {
			action.Href = "http://" + r.Host + strings.TrimSuffix(r.URL.Path, "batch")
		}
		action.Href += o.OID
		ask.Objects[i].Actions = map[string]lfsAction{"download": action}
	}
	w.Header().Set("Content-Type", "application/vnd.git-lfs+json")
	_ = json.NewEncoder(w).Encode(map[string]any{"transfer": "basic", "objects": ask.Objects})
}
