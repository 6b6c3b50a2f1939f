// SPDX-License-Identifier: Apache-2.0
// libevent's objects with owners.
#pragma once

#include <event2/buffer.h>
#include <event2/event.h>

#include <memory>
#include <new>

namespace stackrig::libevent {

struct Free {
  void operator()(event* e) const { ::event_free(e); }
  void operator()(event_base* b) const { ::event_base_free(b); }
  void operator()(evbuffer* b) const { ::evbuffer_free(b); }
};
using Base = std::unique_ptr<event_base, Free>;
using Event = std::unique_ptr<event, Free>;
using Buffer = std::unique_ptr<evbuffer, Free>;

/// An event that calls `(static_cast<T*>(self)->*method)()`; not added yet.
template <auto method, class T>
Event make_event(event_base* base, int fd, short what, T* self) {
  const event_callback_fn call = [](evutil_socket_t, short, void* me) {
    (static_cast<T*>(me)->*method)();
  };
  Event e(::event_new(base, fd, what, call, self));
  if (!e) throw std::bad_alloc();
  return e;
}

}  // namespace stackrig::libevent
