// SPDX-License-Identifier: GPL-2.0
// Answers that were cut at start-up, sent back by the XDP program itself.
//
// A UDP query over IPv4 for the server's port whose name and type are in the map becomes its answer
// where it lies: addresses and ports change places, the answer's records are put behind the
// question, XDP_TX. Everything else goes up to the server as if this program were not there: other
// questions, errors, TCP, ARP, ICMP, fragments, IP and EDNS options, DO.
//
// The length of the datagram says where the name must end, so the name's labels need not be walked:
// a question of another shape is in no map.
//
// The UDP checksum is updated by what changes (RFC 1624) and never made anew: where the query was
// damaged on its way, the answer's checksum is wrong in the same way, and the client drops it.
#include "nmio/afxdp/steer.bpf.h"
//
#include <linux/in.h>
#include <linux/udp.h>

#include "layout.h"

#define DNS_HEADER 12
#define QUESTION_END 4 /* type and class */
#define OPT_BYTES 11
#define FRAGMENT 0x3fff /* more fragments, or an offset */
#define DNS_AT (sizeof(struct ethhdr) + sizeof(struct iphdr) + sizeof(struct udphdr))

// The inner map is exchanged as a whole when the zones are read again.
struct answers_map {
  __uint(type, BPF_MAP_TYPE_HASH);
  __uint(key_size, sizeof(struct answer_key));
  __uint(value_size, sizeof(struct answer_value));
  __uint(max_entries, 1);
};
struct {
  __uint(type, BPF_MAP_TYPE_ARRAY_OF_MAPS);
  __uint(max_entries, 1);
  __type(key, __u32);
  __array(values, struct answers_map);
} current SEC(".maps");

struct {
  __uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
  __uint(max_entries, ANSWERS_COUNTERS);
  __type(key, __u32);
  __type(value, __u64);
} counters SEC(".maps");

// Set before loading.
const volatile __u16 dns_port = 53;  // host byte order
const volatile __u8 own_mac[6] = {0};
const volatile __u32 broadcast = 0;  // of the subnet, host byte order

struct dns_header {
  __u16 id, flags, questions, answers, authorities, additionals;
};

// OPT as the server sends it: root, type 41, 1232 bytes, version 0, no DO, no options.
static const __u8 kOpt[OPT_BYTES + 1] = {0, 0, 41, 1232 >> 8, 1232 & 0xff};

struct question {
  __u32 name_len;
  __u32 opt_len;
  __u32 frame_len;  // as received
  __u64 opt_sum;    // of the query's OPT, as it stands in the datagram
};

// A length in a register of its own: what is compared is what is used then, as the verifier asks.
static __always_inline __u64 checked_register(__u64 length) {
  asm volatile("" : "+r"(length));
  return length;
}

static __always_inline __u64 fold(__u64 sum) {
  sum = (sum & 0xffffffff) + (sum >> 32);
  sum = (sum & 0xffff) + (sum >> 16);
  sum = (sum & 0xffff) + (sum >> 16);
  return (sum & 0xffff) + (sum >> 16);
}

// The sum of a part that begins `offset` bytes into the datagram (RFC 1071 2 (B)).
static __always_inline __u64 placed(__u64 sum, __u32 offset) {
  sum = fold(sum);
  return offset & 1 ? __builtin_bswap16((__u16)sum) : sum;
}

static __always_inline __u64 sum_of_opt(const __u8* opt) {
  __u64 sum = 0;
  for (int i = 0; i < OPT_BYTES + 1; i += 2) sum += opt[i] | (__u32)opt[i + 1] << 8;
  return sum;
}

static __always_inline __u64 sum_of_ip(const struct iphdr* ip) {
  const __u16* word = (const __u16*)ip;
  __u64 sum = 0;
  for (int i = 0; i < 10; ++i) sum += word[i];
  return fold(sum);
}

// What the server's own stack asks of a packet before it answers it.
static __always_inline int is_answerable(const struct ethhdr* eth, const struct iphdr* ip,
                                         const struct udphdr* udp) {
  for (int i = 0; i < 6; ++i) {
    if (eth->h_dest[i] != own_mac[i]) return 0;
  }
  if (eth->h_proto != bpf_htons(ETH_P_IP) || ip->version != 4 || ip->ihl != 5) return 0;
  if (ip->protocol != IPPROTO_UDP || udp->dest != bpf_htons(dns_port) || udp->source == 0) return 0;
  if (ip->frag_off & bpf_htons(FRAGMENT) || sum_of_ip(ip) != 0xffff) return 0;
  const __u32 source = bpf_ntohl(ip->saddr);
  return is_ours(bpf_ntohl(ip->daddr)) && !is_ours(source) && source >> 28 < 0xe &&
         source >> 24 != 0 && source >> 24 != 127 && source != broadcast;
}

// Eight bytes at once. The length bytes of a name are below 'A' and stay what they are.
static __always_inline __u64 lower(__u64 bytes) {
  const __u64 ones = 0x0101010101010101;
  const __u64 seven = bytes & 0x7f * ones;
  const __u64 from_a = seven + (0x80 - 'A') * ones;
  const __u64 past_z = seven + (0x7f - 'Z') * ones;
  return bytes | (from_a & ~past_z & ~bytes & 0x80 * ones) >> 2;
}

// Reads the question that ends where the datagram or its OPT does. 0: it is not one to answer here.
static __always_inline int read_question(struct xdp_md* ctx, struct question* q,
                                         struct answer_key* key) {
  union {
    struct answer_key key;
    __u64 words[sizeof(struct answer_key) / 8];
  } name = {};
  __u8 end[QUESTION_END];
  const __u64 length = checked_register(q->name_len);
  if (length < 1 || length > ANSWERS_MOST_NAME) return 0;
  if (bpf_xdp_load_bytes(ctx, DNS_AT + DNS_HEADER, name.key.name, length) != 0) return 0;
  if (bpf_xdp_load_bytes(ctx, DNS_AT + DNS_HEADER + length, end, sizeof end) != 0) return 0;
  if (end[2] != 0 || end[3] != 1) return 0;  // class IN
  for (unsigned i = 0; i < sizeof name.words / 8; ++i) name.words[i] = lower(name.words[i]);
  *key = name.key;
  key->length = (__u8)length;
  key->type[0] = end[0];
  key->type[1] = end[1];
  if (q->opt_len == 0) return 1;

  __u8 opt[OPT_BYTES + 1] = {};
  const __u32 at = (__u32)(DNS_HEADER + length + QUESTION_END);
  if (bpf_xdp_load_bytes(ctx, DNS_AT + at, opt, OPT_BYTES) != 0) return 0;
  q->opt_sum = placed(sum_of_opt(opt), at);
  return opt[0] == 0 && opt[1] == 0 && opt[2] == 41 && opt[6] == 0 && !(opt[7] & 0x80) &&
         opt[9] == 0 && opt[10] == 0;
}

// Takes the packet apart. 0: it is the server's.
static __always_inline int read_query(struct xdp_md* ctx, struct question* q,
                                      struct answer_key* key) {
  void* data = (void*)(long)ctx->data;
  void* end = (void*)(long)ctx->data_end;
  struct ethhdr* eth = data;
  struct iphdr* ip = (void*)(eth + 1);
  struct udphdr* udp = (void*)(ip + 1);
  struct dns_header* dns = (void*)(udp + 1);
  if ((void*)(dns + 1) > end || !is_answerable(eth, ip, udp)) return 0;
  const __u32 udp_len = bpf_ntohs(udp->len);
  q->frame_len = (__u32)(end - data);
  if (bpf_ntohs(ip->tot_len) != sizeof *ip + udp_len) return 0;
  if (sizeof *eth + sizeof *ip + udp_len > q->frame_len) return 0;
  if (dns->flags & bpf_htons(0xf800) || dns->questions != bpf_htons(1)) return 0;  // QR, opcode
  if (dns->answers != 0 || dns->authorities != 0) return 0;
  if (dns->additionals != 0 && dns->additionals != bpf_htons(1)) return 0;
  q->opt_len = dns->additionals != 0 ? OPT_BYTES : 0;
  const __u32 around = sizeof *udp + DNS_HEADER + QUESTION_END + q->opt_len;
  if (udp_len <= around) return 0;
  q->name_len = udp_len - around;
  return read_question(ctx, q, key);
}

// Writes all headers. 0: the packet is not as long as it must be now.
static __always_inline int write_headers(struct xdp_md* ctx, const struct question* q,
                                         const struct answer_value* answer) {
  void* data = (void*)(long)ctx->data;
  struct ethhdr* eth = data;
  struct iphdr* ip = (void*)(eth + 1);
  struct udphdr* udp = (void*)(ip + 1);
  struct dns_header* dns = (void*)(udp + 1);
  if ((void*)(dns + 1) > (void*)(long)ctx->data_end) return 0;

  __builtin_memcpy(eth->h_dest, eth->h_source, 6);
  for (int i = 0; i < 6; ++i) eth->h_source[i] = own_mac[i];

  const __u32 tail_at = DNS_HEADER + q->name_len + QUESTION_END;
  const __u32 udp_len = sizeof *udp + tail_at + answer->tail_len + q->opt_len;
  const __u32 from = ip->daddr;
  ip->daddr = ip->saddr;
  ip->saddr = from;
  ip->tos = 0;
  ip->tot_len = bpf_htons((__u16)(sizeof *ip + udp_len));
  ip->id = 0;
  ip->frag_off = bpf_htons(0x4000);  // DF
  ip->ttl = 64;
  ip->check = 0;
  ip->check = (__u16)~sum_of_ip(ip);

  const __u16 additionals = bpf_htons((__u16)(answer->additionals + (q->opt_len != 0)));
  const __u16 flags = answer->flags | (dns->flags & bpf_htons(0x0100));  // RD
  if (udp->check != 0) {  // 0: the client does without, and so does its answer (RFC 768)
    const __u16 length = bpf_htons((__u16)udp_len);
    __u64 sum = (__u16)~udp->check;
    sum += 2 * ((__u64)(__u16)~udp->len + length);  // in the pseudo header too
    sum += (__u64)(__u16)~dns->flags + flags + answer->answers + answer->authorities;
    sum += (__u64)(__u16)~dns->additionals + additionals;
    sum += placed(answer->tail_sum, tail_at);
    if (q->opt_len != 0)
      sum += (__u16)~q->opt_sum + placed(sum_of_opt(kOpt), tail_at + answer->tail_len);
    const __u16 check = (__u16)~fold(sum);
    udp->check = check != 0 ? check : 0xffff;
  }
  const __u16 port = udp->dest;
  udp->dest = udp->source;
  udp->source = port;
  udp->len = bpf_htons((__u16)udp_len);
  dns->flags = flags;
  dns->answers = answer->answers;
  dns->authorities = answer->authorities;
  dns->additionals = additionals;
  return 1;
}

static __always_inline int send_answer(struct xdp_md* ctx, const struct question* q,
                                       const struct answer_value* answer) {
  const __u64 tail_len = checked_register(answer->tail_len);
  const __u32 tail_at = DNS_AT + DNS_HEADER + q->name_len + QUESTION_END;
  if (tail_len < 1 || tail_len > ANSWERS_MOST_TAIL) return steer(ctx);
  const __u32 frame_len = (__u32)(tail_at + tail_len + q->opt_len);
  if (bpf_xdp_adjust_tail(ctx, (int)(frame_len - q->frame_len)) != 0) return steer(ctx);
  // From here on it is no query any more: what fails is dropped.
  if (!write_headers(ctx, q, answer)) return XDP_DROP;
  if (bpf_xdp_store_bytes(ctx, tail_at, (void*)answer->tail, tail_len) != 0) return XDP_DROP;
  if (q->opt_len != 0 &&
      bpf_xdp_store_bytes(ctx, tail_at + tail_len, (void*)kOpt, OPT_BYTES) != 0) {
    return XDP_DROP;
  }
  __u32 which = ANSWERS_SENT;
  __u64* sent = bpf_map_lookup_elem(&counters, &which);
  if (sent) ++*sent;
  return XDP_TX;
}

SEC("xdp.frags")
int namestorm_answers(struct xdp_md* ctx) {
  struct question q = {};
  struct answer_key key = {};
  if (!read_query(ctx, &q, &key)) return steer(ctx);
  __u32 zero = 0;
  void* answers = bpf_map_lookup_elem(&current, &zero);
  if (!answers) return steer(ctx);
  const struct answer_value* answer = bpf_map_lookup_elem(answers, &key);
  return answer ? send_answer(ctx, &q, answer) : steer(ctx);
}

char _license[] SEC("license") = "GPL";
