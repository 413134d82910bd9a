package model

import (
	"testing"

	. "github.com/onsi/gomega"
)

func TestViolationsOfAMapAreInOrder(t *testing.T) {
	g := NewWithT(t)
	m, err := Load()
	g.Expect(err).NotTo(HaveOccurred())
	request := decode(g, `{"jobId":"00000000-0000-0000-0000-000000000001","outputVariables":{"d d":"","b b":"","a a":"","c c":""}}`)
	first, err := m.Validate(m.Operations["PutJobSuccessResult"], request)
	g.Expect(err).NotTo(HaveOccurred())
	g.Expect(first).To(HaveLen(4))
	for range 20 {
		again, err := m.Validate(m.Operations["PutJobSuccessResult"], request)
		g.Expect(err).NotTo(HaveOccurred())
		g.Expect(again).To(Equal(first))
	}
}
