#!/usr/bin/env python3
"""load.py - load generator for any OpenStack Networking (Neutron) v2.0 endpoint.

Single file, Python >= 3.11, standard library only.  One thread, raw epoll, closed loop
(each of C connections sends its next request when the previous answer is complete).
Keep-alive is used unless the server answers "Connection: close"; then every request
pays its own connect(), as any client of that server would.  Plain http only.

USAGE
  # auth by ready-made tokens (member token for the load, admin token for set-up only)
  load.py --url http://127.0.0.1:19696 --token T --admin-token A --out r.json
  # let load.py fetch both tokens from keystone
  load.py --url http://127.0.0.1:19696 --auth keystone --auth-url http://127.0.0.1:19500/v3 \
           --user bench --project bench --admin-user admin --admin-project admin --password PW
  # no auth: send headers instead of tokens (repeatable)
  load.py --url http://127.0.0.1:19696 --auth none --header 'X-Project-Id: p1' \
           --header 'X-User-Id: u1' --header 'X-Roles: member' --admin-header 'X-Roles: admin'
  # what can the client itself do?  (starts a null server, reports the client's ceiling)
  load.py --ceiling
  # time from exec to the first 200 (runs CMD N times; CMD must stay in the foreground)
  load.py --url http://127.0.0.1:19696 --token T --startup 'CMD ...' --startup-runs 3
  # the null server alone
  load.py --null-server 19790

OPTIONS
  --server-pid PID         root of the server's process tree: PSS at idle/after, CPU per scenario
  --pid NAME=PID           further process trees to account for (mariadb=.., rabbitmq=..), repeatable
  --only a,b / --skip a,b  groups: root,net,port,read1k,sg,router,fip,read10k
  --big N / --small N      number of ports for the two list sizes (default 1000 / 10000)
  --target-s S             time aimed at per timing (default 5); counts are bounded anyway
  --wait-load X --wait-max S  wait until the 1-min loadavg is below X (at most S seconds)
  --no-drain               leave the BIG ports and their networks behind (when the caller drops the
                           database anyway: draining 10,000 ports takes a slow server very long)
  --label TEXT             copied into the JSON
  --out FILE               JSON there as well as on stdout

WHAT IS MEASURED (group: scenario @ concurrency)
  root     versions_root (GET /) @1,8,32                      the floor
  net      create_network @1,8; create_subnet @1,8; delete_network @1,8 (with one subnet each)
  port     create_port @1,8,32; delete_port @1,8,32 (10 networks with a /20 each, default SG);
           create_port_bulk100 @1 (one POST = 100 ports; rps counts requests, ports_per_s ports)
  read1k   at SMALL ports in the DB: show_port @1,8,32, update_port @1,8, list_ports: full @1,
           limit=100 @1,8, limit=100&marker (middle) @1, device_id (10 hits) @1,8,
           network_id (a tenth) @1, fields=id,name (all) @1
  read10k  the same at BIG ports; plus create_port @8 and delete_port @8 there
  sg       create_security_group @1, create_security_group_rule @1,8,
           list_security_groups @1 and list_security_group_rules @1 with 100 groups x 20 rules (+2 default)
  router   flow POST /routers, PUT add_router_interface, PUT remove_router_interface, DELETE @1,8
  fip      flow POST /floatingips, PUT port_id, PUT port_id=null, DELETE @1,8 (needs admin for the external net)

A create/delete timing runs in rounds: N creates, then N deletes, each timed on its own, until
TARGET seconds of creates were measured or MAX rounds ran, so that fast and slow servers both give
stable numbers with a bounded number of objects alive.  A read timing repeats until TARGET
seconds passed (at least n_min, at most n_max requests).

Per timing the JSON has: count, errors (status >= 400, by status), wall_s, rps, p50/p95/p99/max/mean ms,
bytes (mean body), cpu_s and cpu_ms_per_req by tree (server, each --pid), client_cpu_s, other_cpu_s (CPU used on
the machine by anything not accounted for: contamination by neighbours), machine_busy (0..1).

Everything created is named "bnch-..."; leftovers of an interrupted run (same project, same
prefix) are removed at the start, everything is removed at the end, and the project's quota is
put back (DELETE /quotas/{project}).
"""
import argparse
import gc
import itertools
import json
import os
import random
import select
import shlex
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from urllib.parse import urlsplit

PFX = 'bnch-'
OWNER = 'bench:vm'        # not compute:*: since 29.0 only admin/service may delete those
now = time.perf_counter
HZ = os.sysconf('SC_CLK_TCK')


# ---------------------------------------------------------------- HTTP engine
class Conn:
    __slots__ = ('sock', 'gen', 'label', 'req', 't0', 'chunks', 'got', 'need', 'status', 'close',
                 'chunked', 'fresh', 'hdr')

    def __init__(self):
        self.sock = None


class HTTPError(Exception):
    pass


class Engine:
    def __init__(self, url, headers):
        u = urlsplit(url)
        assert u.scheme == 'http', 'http only'
        self.addr = (u.hostname, u.port or 80)
        self.base = u.path.rstrip('/')
        self.hdrs = {}
        for who, hs in headers.items():
            h = ['Host: %s:%d' % self.addr, 'Accept: application/json', 'User-Agent: load.py']
            h += ['%s: %s' % kv for kv in hs.items()]
            self.hdrs[who] = '\r\n'.join(h)
        self.ep = select.epoll()
        self.reconnects = 0

    def req(self, method, path, body=None, who='user', absolute=False):
        p = path if absolute else self.base + path
        if body is None:
            return ('%s %s HTTP/1.1\r\n%s\r\n\r\n' % (method, p, self.hdrs[who])).encode()
        b = json.dumps(body).encode()
        return ('%s %s HTTP/1.1\r\n%s\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n'
                % (method, p, self.hdrs[who], len(b))).encode() + b

    def _send(self, c):
        c.chunks, c.got, c.need, c.status, c.close, c.chunked = [], 0, -1, 0, False, False
        c.hdr = b''
        if c.sock is None:
            c.sock = socket.create_connection(self.addr)
            c.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            self.byfd[c.sock.fileno()] = c
            self.ep.register(c.sock.fileno(), select.EPOLLIN)
            c.fresh = True
        try:
            c.sock.sendall(c.req)
        except OSError:
            if c.fresh:
                raise
            self._drop(c)
            self._send(c)

    def _drop(self, c):
        fd = c.sock.fileno()
        self.ep.unregister(fd)
        del self.byfd[fd]
        c.sock.close()
        c.sock = None

    def _feed(self, c):
        """True when a whole response is there."""
        try:
            data = c.sock.recv(1 << 20)
        except ConnectionResetError:
            data = b''
        if not data:
            if c.status and c.need == -1 and not c.chunked:
                c.close = True
                return True
            if c.status == 0 and not c.hdr and not c.fresh:
                self.reconnects += 1       # idle keep-alive connection was closed: send again
                self._drop(c)
                self._send(c)
                return False
            raise HTTPError('connection closed early (%r, %d bytes)' % (c.hdr[:80], c.got))
        if c.status == 0:
            h = c.hdr + data if c.hdr else data
            i = h.find(b'\r\n\r\n')
            if i < 0:
                c.hdr = h
                return False
            head = h[:i].lower()
            c.status = int(head[9:12])
            j = head.find(b'\r\ncontent-length:')
            if j >= 0:
                e = head.find(b'\r\n', j + 17)
                c.need = int(head[j + 17:e if e > 0 else len(head)])
            elif c.status in (204, 304):
                c.need = 0
            elif b'\r\ntransfer-encoding: chunked' in head:
                c.chunked = True
            c.close = b'\r\nconnection: close' in head or (
                head[:8] == b'http/1.0' and b'keep-alive' not in head)
            data = h[i + 4:]
            c.hdr = b'.'
        if data:
            c.chunks.append(data)
            c.got += len(data)
        if c.chunked:
            tail = c.chunks[-1][-7:] if c.chunks else b''
            return tail.endswith(b'0\r\n\r\n')
        return c.need >= 0 and c.got >= c.need

    @staticmethod
    def body(c):
        b = c.chunks[0] if len(c.chunks) == 1 else b''.join(c.chunks)
        if not c.chunked:
            return b
        out, i = [], 0
        while True:
            e = b.index(b'\r\n', i)
            n = int(b[i:e].split(b';')[0], 16)
            if n == 0:
                return b''.join(out)
            out.append(b[e + 2:e + 2 + n])
            i = e + 2 + n + 2

    def run(self, flows, concurrency):
        """flows: iterator of generators yielding (label, request bytes), sent (status, body).
        Returns (wall seconds, {label: [(latency, status, nbytes)]}, [error samples])."""
        flows = iter(flows)
        stats, errors = {}, []
        self.byfd = {}
        conns = []
        live = 0

        def advance(c, value):
            """feed value to c's flow; start the next flow when it ended; False when none left"""
            while True:
                try:
                    c.label, c.req = c.gen.send(value)
                    return True
                except StopIteration:
                    c.gen = next(flows, None)
                    if c.gen is None:
                        return False
                    value = None

        gc.collect()
        gc.disable()
        start = now()
        try:
            for _ in range(concurrency):
                g = next(flows, None)
                if g is None:
                    break
                c = Conn()
                c.gen = g
                c.fresh = True
                if not advance(c, None):
                    break
                conns.append(c)
                live += 1
                c.t0 = now()
                self._send(c)
            while live:
                for fd, _ in self.ep.poll(120):
                    c = self.byfd.get(fd)
                    if c is None or not self._feed(c):
                        continue
                    t = now()
                    stats.setdefault(c.label, []).append((t - c.t0, c.status, c.got))
                    b = self.body(c) if c.chunks else b''
                    if c.status >= 400 and len(errors) < 5:
                        errors.append('%s: %d %s' % (c.label, c.status, b[:200].decode('latin1')))
                    if c.close:
                        self._drop(c)
                    else:
                        c.fresh = False
                    if advance(c, (c.status, b)):
                        c.t0 = now()
                        self._send(c)
                    else:
                        live -= 1
            return now() - start, stats, errors
        finally:
            gc.enable()
            for c in conns:
                if c.sock is not None:
                    self._drop(c)

    def one(self, method, path, body=None, who='user', ok=True):
        out = []

        def flow():
            out.append((yield ('one', self.req(method, path, body, who))))
        self.run([flow()], 1)
        st, b = out[0]
        if ok and st >= 400:
            raise HTTPError('%s %s -> %d %s' % (method, path, st, b[:400].decode('latin1')))
        return st, (json.loads(b) if b[:1] in (b'{', b'[') else None)


# ---------------------------------------------------------------- process accounting
def tree(pid):
    kids = {}
    for d in os.listdir('/proc'):
        if d.isdigit():
            try:
                with open('/proc/%s/stat' % d) as f:
                    s = f.read()
                kids.setdefault(int(s.rsplit(')', 1)[1].split()[1]), []).append(int(d))
            except OSError:
                pass
    out, todo = [], [pid]
    while todo:
        p = todo.pop()
        out.append(p)
        todo += kids.get(p, [])
    return out


def mem(pid):
    """(PSS MiB, RSS MiB, processes) of the tree"""
    pss = rss = n = 0
    for p in tree(pid):
        try:
            with open('/proc/%d/smaps_rollup' % p) as f:
                for line in f:
                    if line.startswith('Pss:'):
                        pss += int(line.split()[1])
                    elif line.startswith('Rss:'):
                        rss += int(line.split()[1])
            n += 1
        except OSError:
            pass
    return {'pss_mib': round(pss / 1024, 1), 'rss_mib': round(rss / 1024, 1), 'processes': n}


def cpu(pid):
    t = 0
    for p in tree(pid):
        try:
            with open('/proc/%d/stat' % p) as f:
                s = f.read().rsplit(')', 1)[1].split()
            t += int(s[11]) + int(s[12]) + int(s[13]) + int(s[14])
        except OSError:
            pass
    return t / HZ


def machine_busy():
    with open('/proc/stat') as f:
        v = [int(x) for x in f.readline().split()[1:]]
    idle = v[3] + v[4]
    return (sum(v[:8]) - idle) / HZ


def loadavg():
    with open('/proc/loadavg') as f:
        return [float(x) for x in f.read().split()[:3]]


def pct(v, p):
    return v[min(len(v) - 1, int(len(v) * p / 100.0))]


# ---------------------------------------------------------------- bench
class Bench:
    def __init__(self, a, headers):
        self.a = a
        self.e = Engine(a.url, headers)
        self.res = []
        self.trees = {}
        if a.server_pid:
            self.trees['server'] = a.server_pid
        for x in a.pid:
            n, p = x.split('=')
            self.trees[n] = int(p)
        self.ports, self.nets, self.subs = [], [], []
        self.project = None
        self.ncpu = os.cpu_count()

    def log(self, *x):
        print(time.strftime('%H:%M:%S'), *x, file=sys.stderr, flush=True)

    # one timed run; keeps raw samples so that rounds can be merged
    def timed(self, flows, conc):
        c0 = {k: cpu(v) for k, v in self.trees.items()}
        b0, m0 = machine_busy(), time.process_time()
        wall, stats, errs = self.e.run(flows, conc)
        m1, b1 = time.process_time(), machine_busy()
        cp = {k: cpu(v) - c0[k] for k, v in self.trees.items()}
        return {'wall': wall, 'stats': stats, 'errs': errs, 'cpu': cp, 'client': m1 - m0, 'busy': b1 - b0}

    def record(self, name, conc, runs, extra=None, label=None):
        """label None: all labels are one sample set; else only that label (flows)"""
        wall = sum(r['wall'] for r in runs)
        s = [x for r in runs for k, v in r['stats'].items() if label in (None, k) for x in v]
        if not s:
            return
        lat = sorted(x[0] * 1000 for x in s)
        bad = {}
        for x in s:
            if x[1] >= 400:
                bad[str(x[1])] = bad.get(str(x[1]), 0) + 1
        o = {'scenario': name, 'concurrency': conc, 'count': len(s), 'errors': bad,
             'wall_s': round(wall, 3), 'rps': round(len(s) / wall, 2),
             'mean_ms': round(sum(lat) / len(lat), 3), 'p50_ms': round(pct(lat, 50), 3),
             'p95_ms': round(pct(lat, 95), 3), 'p99_ms': round(pct(lat, 99), 3), 'max_ms': round(lat[-1], 3),
             'bytes': int(sum(x[2] for x in s) / len(s))}
        tot = {k: sum(r['cpu'][k] for r in runs) for k in self.trees}
        cl, busy = sum(r['client'] for r in runs), sum(r['busy'] for r in runs)
        if label is None:
            o['cpu_s'] = {k: round(v, 2) for k, v in tot.items()}
            o['cpu_ms_per_req'] = {k: round(v * 1000 / len(s), 2) for k, v in tot.items() if v}
            o['client_cpu_s'] = round(cl, 3)
            o['other_cpu_s'] = round(max(0.0, busy - cl - sum(tot.values())), 2)
            o['machine_busy'] = round(busy / (wall * self.ncpu), 3) if wall else None
        errs = [x for r in runs for x in r['errs']]
        if errs and bad:
            o['error_samples'] = errs[:3]
        if extra:
            o.update(extra)
        self.res.append(o)
        self.log('%-34s c=%-3d n=%-6d rps=%-9.1f p50=%-8.2f p95=%-8.2f p99=%-8.2f %s' % (
            name, conc, o['count'], o['rps'], o['p50_ms'], o['p95_ms'], o['p99_ms'], bad or ''))
        return o

    def reads(self, name, conc, mk, n_min=20, n_max=20000, extra=None, target=None):
        tgt = self.a.target_s if target is None else target
        t_end = [None]

        def flows():
            for i in range(n_max):
                if t_end[0] is None:
                    t_end[0] = now() + tgt
                elif i >= n_min and now() > t_end[0]:
                    return
                yield simple(name, mk(i))
        return self.record(name, conc, [self.timed(flows(), conc)], extra)

    # -- helpers for objects
    def post_many(self, label, path, bodies, conc, who='user', sink=None):
        def flow(b):
            st, r = yield (label, self.e.req('POST', path, b, who))
            if st < 300 and sink is not None:
                sink.append(r)
        return self.timed((flow(b) for b in bodies), conc)

    def del_many(self, label, path, ids, conc, who='user'):
        return self.timed((simple(label, self.e.req('DELETE', '%s/%s' % (path, i), None, who)) for i in ids), conc)

    def rounds(self, create, delete, conc, path, mkbody, n, max_rounds, key, keep=False):
        """N creates then N deletes per round; records both; returns kept ids (keep=last round kept)"""
        cr, dl, tot, ids = [], [], 0.0, []
        for r in range(max_rounds):
            sink = []
            x = self.post_many(create, path, [mkbody(i) for i in range(n)], conc, sink=sink)
            cr.append(x)
            tot += x['wall']
            ids = [json.loads(b)[key]['id'] for b in sink]
            last = tot >= self.a.target_s or r == max_rounds - 1
            if keep and last:
                break
            if delete:
                dl.append(self.del_many(delete, path, ids, conc))
            ids = []
            if last:
                break
        self.record(create, conc, cr, {'rounds': len(cr)})
        if dl:
            self.record(delete, conc, dl, {'rounds': len(dl)})
        return ids

    # -- setup / cleanup
    def ids(self, coll, who='user', **f):
        q = '&'.join(['fields=id', 'fields=name'] + ['%s=%s' % kv for kv in f.items()])
        _, d = self.e.one('GET', '/v2.0/%s?%s' % (coll, q), who=who)
        return [x['id'] for x in d[coll.replace('-', '_')] if (x.get('name') or '').startswith(PFX)]

    def purge(self):
        e = self.e
        for who in ('user', 'admin'):
            st, d = e.one('GET', '/v2.0/routers?fields=id&fields=name', who=who, ok=False)
            for r in (d or {}).get('routers', []):
                if not (r.get('name') or '').startswith(PFX):
                    continue
                e.one('PUT', '/v2.0/routers/' + r['id'], {'router': {'external_gateway_info': None}}, who, ok=False)
                _, p = e.one('GET', '/v2.0/ports?device_id=' + r['id'], who=who)
                for x in p['ports']:
                    e.one('PUT', '/v2.0/routers/%s/remove_router_interface' % r['id'], {'port_id': x['id']}, who, ok=False)
                e.one('DELETE', '/v2.0/routers/' + r['id'], None, who, ok=False)
        self.purge_fips()
        for coll in ('ports', 'networks', 'security-groups'):
            i = self.ids(coll)
            if i:
                self.log('purge', len(i), coll)
                x = self.del_many('purge', '/v2.0/' + coll, i, 8, 'admin')
                x = x['stats'].get('purge', [])
                bad = sum(1 for s in x if s[1] >= 400)
                if bad:
                    self.log('  failed:', bad)
        for i in self.ids('networks', 'admin'):
            e.one('DELETE', '/v2.0/networks/' + i, None, 'admin', ok=False)

    def purge_fips(self):
        st, d = self.e.one('GET', '/v2.0/floatingips?fields=id&fields=description', ok=False)
        for f in (d or {}).get('floatingips', []):
            if (f.get('description') or '').startswith(PFX):
                self.e.one('DELETE', '/v2.0/floatingips/' + f['id'], ok=False)

    def setup(self):
        self.purge()
        _, d = self.e.one('POST', '/v2.0/networks', {'network': {'name': PFX + 'probe'}})
        self.project = d['network'].get('project_id') or d['network'].get('tenant_id')
        self.e.one('DELETE', '/v2.0/networks/' + d['network']['id'])
        q = {k: 1000000 for k in ('network', 'subnet', 'port', 'router', 'floatingip', 'security_group', 'security_group_rule')}
        st, d = self.e.one('PUT', '/v2.0/quotas/' + self.project, {'quota': q}, 'admin', ok=False)
        if st >= 400:
            self.log('could not raise quota:', st, d)

    def teardown(self):
        if not self.a.no_drain:
            self.purge()
        self.e.one('DELETE', '/v2.0/quotas/' + self.project, None, 'admin', ok=False)

    def mknets(self, n, prefix, cidr, plen):
        """n networks with a subnet each (not timed)"""
        s1, s2 = [], []
        self.post_many('x', '/v2.0/networks', [{'network': {'name': '%s%s%d' % (PFX, prefix, i)}} for i in range(n)], 4, sink=s1)
        nets = [json.loads(b)['network']['id'] for b in s1]
        self.post_many('x', '/v2.0/subnets', [{'subnet': {
            'name': '%s%s%d' % (PFX, prefix, i), 'network_id': x, 'ip_version': 4, 'cidr': cidr(i)}} for i, x in enumerate(nets)], 4, sink=s2)
        subs = {}
        for b in s2:
            s = json.loads(b)['subnet']
            subs[s['network_id']] = s['id']
        if len(nets) != n or len(subs) != n:
            raise HTTPError('could not create %d networks (%d/%d)' % (n, len(nets), len(subs)))
        return nets, [subs[x] for x in nets]

    def pbody(self, i, tag='p'):
        return {'network_id': self.nets[i % len(self.nets)], 'name': '%s%s%d' % (PFX, tag, i),
                'device_id': '%sdev-%d' % (PFX, i // 10), 'device_owner': OWNER, 'admin_state_up': True}

    def fill(self, n, record=None):
        """bulk-create ports until n exist; times create_port_bulk100 when record is given"""
        todo = n - len(self.ports)
        first = True
        while todo > 0:
            if first and record:
                k, conc = min(8, todo // 100) or 1, 1
            else:
                k, conc = min(20, -(-todo // 100)), 2
            base, bodies = len(self.ports), []
            for j in range(k):
                m = min(100, todo)
                bodies.append({'ports': [self.pbody(base + x) for x in range(m)]})
                base += m
                todo -= m
            sink = []
            x = self.post_many('create_port_bulk100', '/v2.0/ports', bodies, conc, sink=sink)
            got = [p['id'] for b in sink for p in json.loads(b)['ports']]
            self.ports += got
            if first and record:
                self.record('create_port_bulk100', conc, [x], {'ports_per_s': round(len(got) / x['wall'], 1)})
            if x['errs']:
                self.log('bulk errors', x['errs'][:2])
                todo = n - len(self.ports)
                self.fillerr = getattr(self, 'fillerr', 0) + len(x['errs'])
                if self.fillerr > 20:
                    raise HTTPError('bulk create keeps failing')
            first = False
            self.log('  ports:', len(self.ports))

    # -- groups
    def g_root(self):
        for c in (1, 8, 32):
            self.reads('versions_root', c, lambda i: self.e.req('GET', '/', who='user'))

    def g_net(self):
        for c, n in ((1, 60), (8, 160)):
            self.rounds('create_network', 'delete_empty_network', c, '/v2.0/networks',
                        lambda i: {'network': {'name': '%sn%d' % (PFX, i), 'admin_state_up': True}}, n, 20, 'network')
        for c, n in ((1, 60), (8, 160)):
            sub, dl, tot = [], [], 0.0
            for _ in range(20):
                s1 = []
                self.post_many('x', '/v2.0/networks', [{'network': {'name': '%ss%d' % (PFX, i)}} for i in range(n)], 8, sink=s1)
                ids = [json.loads(b)['network']['id'] for b in s1]
                x = self.post_many('create_subnet', '/v2.0/subnets', [{'subnet': {
                    'name': '%ss%d' % (PFX, i), 'network_id': nid, 'ip_version': 4,
                    'cidr': '10.%d.%d.0/24' % (i // 256, i % 256)}} for i, nid in enumerate(ids)], c)
                sub.append(x)
                tot += x['wall']
                dl.append(self.del_many('delete_network', '/v2.0/networks', ids, c))
                if tot >= self.a.target_s:
                    break
            self.record('create_subnet', c, sub, {'rounds': len(sub)})
            self.record('delete_network', c, dl, {'rounds': len(dl)})

    def need_nets(self):
        if not self.nets:
            self.nets, self.subs = self.mknets(10, 'pn', lambda i: '10.%d.0.0/20' % (100 + i), 20)
            # the first port of a project makes its default security group: not part of a timing
            _, d = self.e.one('POST', '/v2.0/ports', {'port': self.pbody(0, 'w')})
            self.e.one('DELETE', '/v2.0/ports/' + d['port']['id'])

    def g_port(self):
        self.need_nets()
        for c, n in ((1, 80), (8, 240), (32, 320)):
            self.rounds('create_port', 'delete_port', c, '/v2.0/ports',
                        lambda i: {'port': self.pbody(i, 'c')}, n, 30, 'port')

    def g_read(self, n, first):
        self.need_nets()
        self.fill(n, record=first)
        t = '@%d' % len(self.ports)
        P, rnd = self.ports, random.Random(7)
        e, R = self.e, self.reads
        for c in (1, 8, 32):
            R('show_port' + t, c, lambda i: e.req('GET', '/v2.0/ports/' + rnd.choice(P)))
        for c in (1, 8):
            R('update_port' + t, c, lambda i: e.req('PUT', '/v2.0/ports/' + P[(i * 37) % len(P)], {'port': {'name': '%su%d' % (PFX, i)}}), n_max=3000)
        R('list_ports_full' + t, 1, lambda i: e.req('GET', '/v2.0/ports'), n_min=3, n_max=200)
        for c in (1, 8):
            R('list_ports_limit100' + t, c, lambda i: e.req('GET', '/v2.0/ports?limit=100'), n_min=10)
        mid = sorted(P)[len(P) // 2]
        R('list_ports_limit100_marker' + t, 1, lambda i: e.req('GET', '/v2.0/ports?limit=100&marker=' + mid), n_min=10)
        for c in (1, 8):
            R('list_ports_device_id' + t, c, lambda i: e.req('GET', '/v2.0/ports?device_id=%sdev-%d' % (PFX, rnd.randrange(len(P) // 10))), n_min=10)
        R('list_ports_network_id' + t, 1, lambda i: e.req('GET', '/v2.0/ports?network_id=' + self.nets[i % 10]), n_min=3, n_max=2000)
        R('list_ports_fields' + t, 1, lambda i: e.req('GET', '/v2.0/ports?fields=id&fields=name'), n_min=3, n_max=500)
        # are the lists right?  (not timed)
        chk = {}
        for k, q in (('full', ''), ('limit100', '?limit=100'), ('network_id', '?network_id=' + self.nets[0]),
                     ('device_id', '?device_id=%sdev-5' % PFX), ('fields', '?fields=id&fields=name')):
            _, d = e.one('GET', '/v2.0/ports' + q)
            chk[k] = len(d['ports'])
        self.checks = getattr(self, 'checks', {})
        self.checks[t] = chk
        self.log('  list sizes', chk)
        if not first:
            self.rounds('create_port' + t, 'delete_port' + t, 8, '/v2.0/ports', lambda i: {'port': self.pbody(i, 'c')}, 240, 20, 'port')

    def g_read1k(self):
        self.g_read(self.a.small, True)

    def g_read10k(self):
        self.g_read(self.a.big, False)

    def drop_ports(self, last=False):
        if self.ports and self.a.no_drain and last:
            self.log('leaving', len(self.ports), 'ports (--no-drain)')
            self.ports = []
        if self.ports:
            self.log('removing', len(self.ports), 'ports')
            x = self.del_many('cleanup_delete_port', '/v2.0/ports', self.ports, 8)
            self.record('delete_port@drain', 8, [x])
            self.ports = []

    def g_sg(self):
        ids = self.rounds('create_security_group', None, 1, '/v2.0/security-groups',
                          lambda i: {'security_group': {'name': '%ssg%d' % (PFX, i)}}, 100, 1, 'security_group')
        ids = self.ids('security-groups')
        if len(ids) != 100:
            raise HTTPError('security groups: %d' % len(ids))

        def rb(g, k):
            return {'security_group_rule': {'security_group_id': ids[g], 'direction': 'ingress', 'ethertype': 'IPv4',
                                            'protocol': 'tcp', 'port_range_min': 1000 + k, 'port_range_max': 1000 + k}}
        todo = [(g, k) for k in range(20) for g in range(100)]     # round robin over groups
        for c, n in ((1, 200), (8, 600)):
            part, todo = todo[:n], todo[n:]
            x = self.post_many('create_security_group_rule', '/v2.0/security-group-rules', [rb(*p) for p in part], c)
            self.record('create_security_group_rule', c, [x])
        x = self.post_many('create_security_group_rule', '/v2.0/security-group-rules', [rb(*p) for p in todo], 8)
        self.record('create_security_group_rule', 8, [x], {'note': 'the remaining rules'})
        e = self.e
        self.reads('list_security_groups_100x20', 1, lambda i: e.req('GET', '/v2.0/security-groups'), n_min=3, n_max=500)
        self.reads('list_security_group_rules_2000', 1, lambda i: e.req('GET', '/v2.0/security-group-rules'), n_min=3, n_max=500)
        self.reads('show_security_group', 1, lambda i: e.req('GET', '/v2.0/security-groups/' + ids[i % 100]), n_min=20, n_max=5000)
        _, d = e.one('GET', '/v2.0/security-groups')
        self.checks = getattr(self, 'checks', {})
        self.checks['sg'] = {'groups': len(d['security_groups']), 'rules': sum(len(g['security_group_rules']) for g in d['security_groups'])}
        x = self.del_many('delete_security_group', '/v2.0/security-groups', ids, 8)
        self.record('delete_security_group', 8, [x])

    def g_router(self):
        n = 64
        nets, subs = self.mknets(n, 'rn', lambda i: '10.200.%d.0/24' % i, 24)
        e = self.e

        def flow(i):
            st, b = yield ('router_create', e.req('POST', '/v2.0/routers', {'router': {'name': '%sr%d' % (PFX, i)}}))
            if st >= 300:
                return
            rid = json.loads(b)['router']['id']
            s = {'subnet_id': subs[i % n]}
            yield ('router_add_interface', e.req('PUT', '/v2.0/routers/%s/add_router_interface' % rid, s))
            yield ('router_remove_interface', e.req('PUT', '/v2.0/routers/%s/remove_router_interface' % rid, s))
            yield ('router_delete', e.req('DELETE', '/v2.0/routers/' + rid))
        for c, k in ((1, 32), (8, 64)):
            runs, tot = [], 0.0
            for _ in range(20):
                x = self.timed((flow(i) for i in range(k)), c)
                runs.append(x)
                tot += x['wall']
                if tot >= self.a.target_s:
                    break
            f = sum(len(r['stats'].get('router_delete', [])) for r in runs)
            self.record('router_flow_all', c, runs, {'rounds': len(runs), 'flows': f, 'flows_per_s': round(f / tot, 2)})
            for lb in ('router_create', 'router_add_interface', 'router_remove_interface', 'router_delete'):
                self.record(lb, c, runs, {'note': 'part of router_flow_all: rps is within the mix'}, label=lb)
        self.del_many('x', '/v2.0/networks', nets, 8)

    def g_fip(self):
        e = self.e
        st, d = e.one('POST', '/v2.0/networks', {'network': {'name': PFX + 'ext', 'router:external': True}}, 'admin', ok=False)
        if st >= 300:
            self.log('no external network:', st, d)
            return
        ext = d['network']['id']
        e.one('POST', '/v2.0/subnets', {'subnet': {'name': PFX + 'ext', 'network_id': ext, 'ip_version': 4, 'enable_dhcp': False,
                                                   'cidr': '172.30.0.0/20', 'gateway_ip': '172.30.0.1'}}, 'admin')
        nets, subs = self.mknets(1, 'fn', lambda i: '10.210.0.0/20', 20)
        _, d = e.one('POST', '/v2.0/routers', {'router': {'name': PFX + 'fr', 'external_gateway_info': {'network_id': ext}}})
        rid = d['router']['id']
        e.one('PUT', '/v2.0/routers/%s/add_router_interface' % rid, {'subnet_id': subs[0]})
        sink = []
        self.post_many('x', '/v2.0/ports', [{'ports': [{'network_id': nets[0], 'name': '%sf%d' % (PFX, i), 'device_owner': OWNER} for i in range(64)]}], 1, sink=sink)
        ports = [p['id'] for p in json.loads(sink[0])['ports']]

        def flow(i):
            st, b = yield ('fip_create', e.req('POST', '/v2.0/floatingips', {'floatingip': {'floating_network_id': ext, 'description': PFX + 'fip'}}))
            if st >= 300:
                return
            fid = json.loads(b)['floatingip']['id']
            yield ('fip_associate', e.req('PUT', '/v2.0/floatingips/' + fid, {'floatingip': {'port_id': ports[i]}}))
            yield ('fip_disassociate', e.req('PUT', '/v2.0/floatingips/' + fid, {'floatingip': {'port_id': None}}))
            yield ('fip_delete', e.req('DELETE', '/v2.0/floatingips/' + fid))
        try:
            for c, k in ((1, 32), (8, 64)):
                runs, tot = [], 0.0
                for _ in range(20):
                    x = self.timed((flow(i) for i in range(k)), c)
                    runs.append(x)
                    tot += x['wall']
                    if tot >= self.a.target_s:
                        break
                f = sum(len(r['stats'].get('fip_delete', [])) for r in runs)
                self.record('fip_flow_all', c, runs, {'rounds': len(runs), 'flows': f, 'flows_per_s': round(f / tot, 2)})
                for lb in ('fip_create', 'fip_associate', 'fip_disassociate', 'fip_delete'):
                    self.record(lb, c, runs, {'note': 'part of fip_flow_all: rps is within the mix'}, label=lb)
        finally:
            self.purge_fips()
            e.one('PUT', '/v2.0/routers/%s/remove_router_interface' % rid, {'subnet_id': subs[0]}, ok=False)
            e.one('DELETE', '/v2.0/routers/' + rid, ok=False)
            self.del_many('x', '/v2.0/ports', ports, 8)
            self.del_many('x', '/v2.0/networks', nets, 1)
            e.one('DELETE', '/v2.0/networks/' + ext, None, 'admin', ok=False)

    def main(self):
        a = self.a
        meta = {'url': a.url, 'label': a.label, 'started': time.strftime('%Y-%m-%dT%H:%M:%SZ', time.gmtime()),
                'cpus': self.ncpu, 'python': sys.version.split()[0], 'target_s': a.target_s}
        t0 = now()
        if a.wait_load:
            while loadavg()[0] > a.wait_load and now() - t0 < a.wait_max:
                time.sleep(5)
            meta['waited_for_load_s'] = round(now() - t0, 1)
        meta['loadavg_before'] = loadavg()
        self.setup()
        time.sleep(1)
        meta['mem_idle'] = {k: mem(v) for k, v in self.trees.items()}
        groups = ['root', 'net', 'port', 'read1k', 'sg', 'router', 'fip', 'read10k']
        if a.only:
            groups = [g for g in groups if g in a.only.split(',')]
        groups = [g for g in groups if g not in a.skip.split(',')]
        err = None
        t0 = now()
        try:
            for g in groups:
                if g in ('sg', 'router', 'fip') and self.ports:
                    self.drop_ports()
                self.log('== group', g, 'loadavg', loadavg())
                getattr(self, 'g_' + g)()
                meta['mem_after_' + g] = {k: mem(v)['pss_mib'] for k, v in self.trees.items()}
            meta['mem_after'] = {k: mem(v) for k, v in self.trees.items()}
            self.drop_ports(last=True)
        except Exception as x:                      # report what was measured, then clean up
            err = '%s: %s' % (type(x).__name__, x)
            self.log('FAILED', err)
            if a.trace:
                import traceback
                traceback.print_exc()
        meta['run_s'] = round(now() - t0, 1)
        try:
            self.teardown()
        except Exception as x:
            err = (err or '') + ' teardown: %s' % x
        meta['loadavg_after'] = loadavg()
        meta['keepalive_reconnects'] = self.e.reconnects
        return {'meta': meta, 'error': err, 'list_checks': getattr(self, 'checks', {}), 'results': self.res}


def simple(label, req):
    yield (label, req)


# ---------------------------------------------------------------- null server, ceiling, startup
def null_server(port):
    body = json.dumps({'port': {'id': 'x' * 36, 'pad': 'y' * 1150}}).encode()
    resp = b'HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n' % len(body) + body
    s = socket.socket()
    s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    s.bind(('127.0.0.1', port))
    s.listen(512)
    ep = select.epoll()
    ep.register(s.fileno(), select.EPOLLIN)
    cs = {}
    while True:
        for fd, _ in ep.poll():
            if fd == s.fileno():
                c, _a = s.accept()
                c.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                cs[c.fileno()] = c
                ep.register(c.fileno(), select.EPOLLIN)
                continue
            c = cs[fd]
            try:
                d = c.recv(65536)
            except OSError:
                d = b''
            if d:
                c.sendall(resp)
            else:
                ep.unregister(fd)
                del cs[fd]
                c.close()


def ceiling(a):
    port = a.null_port
    p = subprocess.Popen([sys.executable, os.path.abspath(__file__), '--null-server', str(port)])
    try:
        for _ in range(100):
            try:
                socket.create_connection(('127.0.0.1', port)).close()
                break
            except OSError:
                time.sleep(0.05)
        a.url = 'http://127.0.0.1:%d' % port
        a.server_pid, a.pid = p.pid, []
        b = Bench(a, {'user': {'X-Auth-Token': 't' * 180}, 'admin': {}})
        la = loadavg()
        for c in (1, 8, 32):
            b.reads('null_GET', c, lambda i: b.e.req('GET', '/v2.0/ports/' + 'a' * 36), n_max=10 ** 7)
        body = {'port': {'network_id': 'n' * 36, 'name': 'bnch-p1', 'device_id': 'bnch-dev-1', 'device_owner': OWNER, 'admin_state_up': True}}
        for c in (1, 8, 32):
            b.reads('null_POST', c, lambda i: b.e.req('POST', '/v2.0/ports', body), n_max=10 ** 7)
        return {'meta': {'what': 'client ceiling against load.py --null-server (python epoll, keep-alive, 1.2 kB body)',
                         'loadavg_before': la, 'loadavg_after': loadavg(), 'cpus': os.cpu_count()}, 'results': b.res}
    finally:
        p.terminate()
        p.wait()


def startup(a, headers):
    u = urlsplit(a.url)
    out = []
    for _ in range(a.startup_runs):
        t0 = now()
        p = subprocess.Popen(shlex.split(a.startup), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True)
        t = {}
        try:
            for key, path, hdr in (('root', '/', {}), ('api', '/v2.0/networks?limit=1', headers['user'])):
                while True:
                    try:
                        r = urllib.request.Request('http://%s:%d%s%s' % (u.hostname, u.port, u.path.rstrip('/'), path), headers=hdr)
                        with urllib.request.urlopen(r, timeout=60) as f:
                            if f.status == 200:
                                break
                    except urllib.error.HTTPError as x:
                        if x.code in (401, 403, 404):
                            break
                    except OSError:
                        pass
                    if now() - t0 > 120 or p.poll() is not None:
                        break
                    time.sleep(0.005)
                t[key + '_first_200_s'] = round(now() - t0, 3)
            t['mem'] = mem(p.pid)
        finally:
            os.kill(p.pid, signal.SIGTERM)
            try:
                p.wait(30)
            except subprocess.TimeoutExpired:
                os.killpg(p.pid, signal.SIGKILL)
                p.wait()
        out.append(t)
        time.sleep(1)
    return {'startup_cmd': a.startup, 'loadavg': loadavg(), 'runs': out}


def keystone_token(auth_url, user, project, pw):
    b = {'auth': {'identity': {'methods': ['password'], 'password': {'user': {'name': user, 'domain': {'id': 'default'}, 'password': pw}}},
                  'scope': {'project': {'name': project, 'domain': {'id': 'default'}}}}}
    r = urllib.request.Request(auth_url.rstrip('/') + '/auth/tokens', json.dumps(b).encode(), {'Content-Type': 'application/json'})
    with urllib.request.urlopen(r) as f:
        return f.headers['X-Subject-Token']


def main():
    ap = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    ap.add_argument('--url')
    ap.add_argument('--auth', choices=['token', 'keystone', 'none'], default='token')
    ap.add_argument('--token', default=os.environ.get('OS_TOKEN'))
    ap.add_argument('--admin-token', default=os.environ.get('OS_ADMIN_TOKEN'))
    ap.add_argument('--header', action='append', default=[])
    ap.add_argument('--admin-header', action='append', default=[])
    ap.add_argument('--auth-url')
    ap.add_argument('--user', default='bench')
    ap.add_argument('--project', default='bench')
    ap.add_argument('--admin-user', default='admin')
    ap.add_argument('--admin-project', default='admin')
    ap.add_argument('--password', default=os.environ.get('OS_PASSWORD'))
    ap.add_argument('--server-pid', type=int)
    ap.add_argument('--pid', action='append', default=[])
    ap.add_argument('--only', default='')
    ap.add_argument('--skip', default='')
    ap.add_argument('--small', type=int, default=1000)
    ap.add_argument('--big', type=int, default=10000)
    ap.add_argument('--target-s', type=float, default=5.0)
    ap.add_argument('--wait-load', type=float, default=0)
    ap.add_argument('--wait-max', type=float, default=600)
    ap.add_argument('--label', default='')
    ap.add_argument('--out')
    ap.add_argument('--null-server', type=int)
    ap.add_argument('--null-port', type=int, default=19790)
    ap.add_argument('--ceiling', action='store_true')
    ap.add_argument('--startup')
    ap.add_argument('--startup-runs', type=int, default=3)
    ap.add_argument('--no-drain', action='store_true')
    ap.add_argument('--trace', action='store_true')
    a = ap.parse_args()
    if a.null_server:
        return null_server(a.null_server)
    if a.ceiling:
        res = ceiling(a)
    else:
        kv = lambda l: dict((x.split(':', 1)[0].strip(), x.split(':', 1)[1].strip()) for x in l)
        if a.auth == 'none':
            h = {'user': kv(a.header), 'admin': {**kv(a.header), **kv(a.admin_header)}}
        else:
            if a.auth == 'keystone':
                a.token = keystone_token(a.auth_url, a.user, a.project, a.password)
                a.admin_token = keystone_token(a.auth_url, a.admin_user, a.admin_project, a.password)
            h = {'user': {'X-Auth-Token': a.token, **kv(a.header)}, 'admin': {'X-Auth-Token': a.admin_token or a.token, **kv(a.admin_header)}}
        res = startup(a, h) if a.startup else Bench(a, h).main()
    s = json.dumps(res, indent=1)
    if a.out:
        with open(a.out, 'w') as f:
            f.write(s + '\n')
    print(s)
    return 1 if res.get('error') else 0


if __name__ == '__main__':
    sys.exit(main())
