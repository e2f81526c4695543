package upload

import (
	"errors"
	"fmt"
	"net"
	"net/url"
	"strings"
)

// setting is the variable in which an operator names hosts.
const setting = "DISPATCHD_UPLOAD_HOSTS"

// origin is a place that may be asked: scheme, host in lower case, port.
type origin struct{ scheme, host, port string }

// hosts are all of them.
type hosts map[origin]bool

// parseHosts reads the operator's list and the backend's address. Its errors
// repeat an entry without what stands before its host.
func parseHosts(list []string, backend string) (hosts, error) {
	allowed := hosts{}
	var wrong []error
	for _, entry := range list {
		where, err := parseHost(entry)
		if err != nil {
			wrong = append(wrong, fmt.Errorf("upload host %q: %w", entry[strings.LastIndexByte(entry, '@')+1:], err))
			continue
		}
		allowed[where] = true
	}
	if backend != "" {
		address, err := url.Parse(backend)
		if err != nil || address.Hostname() == "" {
			wrong = append(wrong, errors.New("the backend's address is not a URL"))
		} else {
			allowed[originOf(address)] = true
		}
	}
	return allowed, errors.Join(wrong...)
}

func parseHost(entry string) (origin, error) {
	if !strings.Contains(entry, "://") {
		entry = "https://" + entry
	}
	address, err := url.Parse(entry)
	switch {
	case err != nil, address.Hostname() == "":
		return origin{}, errors.New("not host, host:port or http://host")
	case address.Scheme != "https" && address.Scheme != "http":
		return origin{}, errors.New("neither https nor http")
	case address.User != nil, address.Path != "" && address.Path != "/", address.RawQuery != "", address.Fragment != "":
		return origin{}, errors.New("only a host belongs here, without user, path or query")
	}
	return originOf(address), nil
}

func originOf(address *url.URL) origin {
	port := address.Port()
	switch {
	case port != "":
	case address.Scheme == "http":
		port = "80"
	default:
		port = "443"
	}
	return origin{scheme: address.Scheme, host: strings.ToLower(address.Hostname()), port: port}
}

// address reads an upload's URL and holds it to the policy. Its errors name the
// host and never the rest of the URL.
func (h hosts) address(text string) (*url.URL, error) {
	address, err := url.Parse(text)
	if err != nil {
		return nil, errors.New("its address is not a URL")
	}
	return address, h.check(address)
}

// check is the policy: for the address of a task, and for each redirect.
func (h hosts) check(address *url.URL) error {
	switch {
	case address.Scheme != "https" && address.Scheme != "http", address.Hostname() == "":
		return errors.New("its address is not an https URL")
	case address.User != nil:
		return errors.New("its address holds a user or password")
	}
	where := originOf(address)
	switch {
	case h[where]:
		return nil
	case where.scheme == "http" && h[origin{"https", where.host, "443"}]:
		return fmt.Errorf("plain http to %s is not allowed; %s would have to say http://%s", where.host, setting, where.host)
	}
	return fmt.Errorf("the host %s is not in %s", net.JoinHostPort(printable(where.host), where.port), setting)
}
