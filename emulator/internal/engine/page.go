package engine

import "strconv"

// page has the paging members of a list request.
type page struct {
	MaxResults int    `json:"maxResults"`
	NextToken  string `json:"nextToken"`
}

// paged returns a page of a list. next is empty at the end of the list. An invalid token results in
// InvalidNextTokenException. most is the operation's largest page size, which is also the default.
func paged[T any](p page, list []T, most int) (part []T, next string, err error) {
	from := 0
	if p.NextToken != "" {
		from, err = strconv.Atoi(p.NextToken)
		if err != nil || from <= 0 || from > len(list) {
			return nil, "", fail("InvalidNextTokenException", "The next token is not valid")
		}
	}
	size := p.MaxResults
	if size == 0 {
		size = most
	}
	to := min(from+size, len(list))
	if to < len(list) {
		next = strconv.Itoa(to)
	}
	return list[from:to], next, nil
}
