// SPDX-License-Identifier: MIT
// Copyright (c) 2026 The mote authors
// Intrusive doubly linked lists: the links lie in the listed objects, so that nothing is allocated and none is full.
// All operations are O(1), and all zero bits are a valid empty list.
#ifndef MOTE_BASE_LIST_HPP
#define MOTE_BASE_LIST_HPP

#include <mote/base/assert.hpp>
#include <mote/base/config.hpp>
#include <mote/base/pinned.hpp>

namespace mote {
inline namespace MOTE_NAMESPACE {

namespace detail {

// The links of an object that can be in a list: in at most one at a time. Leaving it needs no reference to the list.
struct ListNode : Pinned {
  ListNode* next = nullptr;  // null: in no list
  ListNode* prev = nullptr;

  bool linked() const { return next != nullptr; }
  void unlink() {
    if (next == nullptr) return;
    next->prev = prev;
    prev->next = next;
    prev = nullptr;
    next = nullptr;
  }
};

// What all lists have in common, whatever their elements are, so that this code exists once in a program.
//
//     head_ -> first -> ... -> last -> head_      a ring; its `prev` links run the other way
//
// An empty ring is a head that is linked to itself. A list of zero bits is empty, too; it becomes a ring at its first
// use. `head_` is for lists that derive from this one and know that they are rings.
struct ListBase {
  bool empty() const { return head_.next == nullptr || head_.next == &head_; }

  void append(ListNode& node) {
    ring();
    insert_after(*head_.prev, node);
  }
  void prepend(ListNode& node) {
    ring();
    insert_after(head_, node);
  }
  ListNode* first() { return empty() ? nullptr : head_.next; }
  ListNode* take_first() {
    if (empty()) return nullptr;
    ListNode* const node = head_.next;
    head_.next = node->next;
    node->next->prev = &head_;
    node->next = nullptr;
    return node;
  }

  // Moves all nodes of `other`, in their order, behind the nodes of this list.
  void append_all(ListBase& other) {
    if (other.empty()) return;
    ring();
    ListNode* const first_taken = other.head_.next;
    head_.prev->next = first_taken;
    first_taken->prev = head_.prev;
    head_.prev = other.head_.prev;
    head_.prev->next = &head_;
    other.head_.prev = &other.head_;
    other.head_.next = &other.head_;
  }

  // Closes a list of zero bits to an empty ring. Does nothing to other lists.
  void ring() {
    if (head_.next != nullptr) return;
    head_.prev = &head_;
    head_.next = &head_;
  }

  // `position` is a node of this list, or its head. The list must be a ring.
  void insert_after(ListNode& position, ListNode& node) {
    MOTE_ASSERT(!node.linked() && "it is in a list already: an object was used by another thread, or was overwritten");
    node.prev = &position;
    node.next = position.next;
    position.next->prev = &node;
    position.next = &node;
  }

  ListNode head_;
};

// A list of T, which derives from ListNode.
// Size on a 32-bit board: 8 bytes.
template <class T> struct List : ListBase {
  void push_back(ListNode& node) { append(node); }
  void push_front(ListNode& node) { prepend(node); }
  T* front() { return from(first()); }
  T* after(ListNode& node) { return node.next == &head_ ? nullptr : from(node.next); }
  T* pop_front() { return from(take_first()); }
  static T* from(ListNode* node) { return static_cast<T*>(node); }
};

}  // namespace detail

}  // namespace MOTE_NAMESPACE
}  // namespace mote

#endif  // MOTE_BASE_LIST_HPP
