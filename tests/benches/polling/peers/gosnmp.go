// Asks devices with gosnmp what farwatch-probe asks them every minute, and keeps nothing.
// gosnmp PORT DEVICES SECONDS AT_ONCE
package main

import (
	"encoding/binary"
	"fmt"
	"net"
	"os"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"github.com/gosnmp/gosnmp"
)

const table, extended = ".1.3.6.1.2.1.2.2.1.", ".1.3.6.1.2.1.31.1.1.1."

var columns = []string{
	extended + "6", extended + "7", extended + "10", extended + "11",
	table + "7", table + "8", table + "13", table + "14", table + "19", table + "20",
}
var scalars = []string{".1.3.6.1.2.1.1.3.0", ".1.3.6.1.2.1.31.1.5.0"}

func argument(place int) int {
	n, err := strconv.Atoi(os.Args[place])
	if err != nil {
		panic(err)
	}
	return n
}

// One device, once: its values, and whether all went well.
func poll(number, port int) (int, error) {
	address := make(net.IP, 4)
	binary.BigEndian.PutUint32(address, 127<<24+1<<16+uint32(number))
	device := &gosnmp.GoSNMP{
		Target: address.String(), Port: uint16(port), Community: "public", Version: gosnmp.Version2c,
		Timeout: 2 * time.Second, MaxOids: 60, MaxRepetitions: 25,
	}
	if err := device.Connect(); err != nil {
		return 0, err
	}
	defer device.Conn.Close()
	answer, err := device.Get(scalars)
	if err != nil {
		return 0, err
	}
	values := len(answer.Variables)
	for _, column := range columns {
		cells, err := device.BulkWalkAll(column)
		if err != nil {
			return values, err
		}
		values += len(cells)
	}
	return values, nil
}

func main() {
	port, devices, seconds, atOnce := argument(1), argument(2), argument(3), argument(4)
	var polls, values, failed, next int64
	start := time.Now()
	end := start.Add(time.Duration(seconds) * time.Second)
	var all sync.WaitGroup
	for range make([]struct{}, atOnce) {
		all.Add(1)
		go func() {
			defer all.Done()
			for time.Now().Before(end) {
				got, err := poll(int(atomic.AddInt64(&next, 1))%devices, port)
				atomic.AddInt64(&values, int64(got))
				atomic.AddInt64(&polls, 1)
				if err != nil {
					atomic.AddInt64(&failed, 1)
				}
			}
		}()
	}
	all.Wait()
	fmt.Printf("{\"polls\":%d,\"values\":%d,\"failed\":%d,\"seconds\":%.3f}\n", polls, values, failed, time.Since(start).Seconds())
}
