// SPDX-License-Identifier: Apache-2.0
#include "poller.h"

#include <sys/epoll.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <system_error>

namespace stackrig::in_kernel {

Poller::Poller() : epoll_(::epoll_create1(EPOLL_CLOEXEC)) {
  if (epoll_.get() < 0) throw std::system_error(errno, std::generic_category(), "epoll_create1");
}

bool Poller::add(int fd, std::uint32_t events, Watched& watched) {
  epoll_event event{};
  event.events = events;
  event.data.ptr = &watched;
  return ::epoll_ctl(epoll_.get(), EPOLL_CTL_ADD, fd, &event) == 0;
}

bool Poller::change(int fd, std::uint32_t events, Watched& watched) {
  epoll_event event{};
  event.events = events;
  event.data.ptr = &watched;
  return ::epoll_ctl(epoll_.get(), EPOLL_CTL_MOD, fd, &event) == 0;
}

void Poller::call_at(Watched& watched, Clock::time_point at) {
  watched.at_ = at;
  if (watched.listed_) return;
  watched.listed_ = true;
  timed_.push_back(&watched);
}

void Poller::retire(std::unique_ptr<Watched> watched) {
  watched->retired_ = true;
  retired_.push_back(std::move(watched));
}

void Poller::call_due() {
  const auto now = Clock::now();
  // due() may ask for further times, of this one or others: those are at the end, and later.
  const std::size_t count = timed_.size();
  for (std::size_t i = 0; i < count; ++i) {
    Watched& w = *timed_[i];
    if (w.retired_ || w.at_ > now) continue;
    w.at_ = Clock::time_point::max();
    w.due();
  }
  std::erase_if(timed_, [](Watched* w) {
    if (!w->retired_ && w->at_ != Clock::time_point::max()) return false;
    w->listed_ = false;
    return true;
  });
  retired_.clear();
}

void Poller::turn(std::chrono::milliseconds longest) {
  const auto now = Clock::now();
  auto wait = longest;
  for (const Watched* w : timed_) {
    if (w->at_ == Clock::time_point::max()) continue;
    const auto left = std::chrono::ceil<std::chrono::milliseconds>(w->at_ - now);
    wait = std::clamp(left, std::chrono::milliseconds{0}, wait);
  }
  std::array<epoll_event, 256> events;
  const int n = ::epoll_wait(epoll_.get(), events.data(), static_cast<int>(events.size()),
                             static_cast<int>(wait.count()));
  for (int i = 0; i < n; ++i) {
    auto& watched = *static_cast<Watched*>(events[static_cast<std::size_t>(i)].data.ptr);
    if (!watched.retired_) watched.ready(events[static_cast<std::size_t>(i)].events);
  }
  call_due();
}

}  // namespace stackrig::in_kernel
